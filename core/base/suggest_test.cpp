#include "core/base/suggest.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nacre {
namespace {

const std::vector<std::string> kNames{"virtio-blk-device", "virtio-net-device", "serial", "microvm"};

TEST(Suggest, FindsTheNearestName) {
  EXPECT_EQ(nearest("virtio-blk-devcie", kNames), "virtio-blk-device");
  EXPECT_EQ(nearest("mircovm", kNames), "microvm");
}

TEST(Suggest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("balloon", kNames), "");
  EXPECT_EQ(did_you_mean("x", kNames), "");
}

TEST(Suggest, MakesASentence) {
  EXPECT_EQ(did_you_mean("seral", kNames), " Did you mean 'serial'?");
}

}  // namespace
}  // namespace nacre
