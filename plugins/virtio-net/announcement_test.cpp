#include "announcement.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace nacre::virtio_net {
namespace {

TEST(Announcement, IsAReverseArpRequestForItsOwnAddress) {
  const Announcement frame = announcement({0x52, 0x54, 0, 1, 2, 3});
  ASSERT_EQ(frame.size(), 72u);
  EXPECT_TRUE(std::all_of(frame.begin(), frame.begin() + 12, [](uint8_t byte) { return byte == 0; }));
  const uint8_t expected[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    1,    2, 3, 0x80, 0x35,
                              0,    1,    8,    0,    6,    4,    0,    3,    0x52, 0x54, 0, 1, 2,    3,
                              0,    0,    0,    0,    0x52, 0x54, 0,    1,    2,    3,    0, 0, 0,    0};
  EXPECT_TRUE(std::equal(std::begin(expected), std::end(expected), frame.begin() + 12));
  EXPECT_TRUE(std::all_of(frame.begin() + 54, frame.end(), [](uint8_t byte) { return byte == 0; }));
}

}  // namespace
}  // namespace nacre::virtio_net
