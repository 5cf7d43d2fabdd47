#include "machines/common/reset_vector.hpp"

#include <gtest/gtest.h>

#include "machines/common/fake_guest.hpp"

namespace nacre::machine {
namespace {

TEST(ResetVector, WritesThePortOrShutsDown) {
  FakeGuest guest(2 * kMiB);
  ASSERT_TRUE(write_reset_vector(0x602, guest.memory()));
  EXPECT_EQ(guest.at<uint8_t>(0xffff0), 0xba);
  EXPECT_EQ(guest.at<uint16_t>(0xffff1), 0x602);
  EXPECT_EQ(guest.at<uint8_t>(0xfffef), 0xaa);
  EXPECT_EQ(guest.at<uint8_t>(0x100000), 0xaa);

  ASSERT_TRUE(write_reset_vector(std::nullopt, guest.memory()));
  EXPECT_EQ(guest.at<uint16_t>(0xffff4), 0x000a);  // where lidt reads
  for (uint64_t gpa = 0xffffa; gpa < 0x100000; ++gpa) EXPECT_EQ(guest.at<uint8_t>(gpa), 0);
}

TEST(ResetVector, NeedsMemoryThere) {
  FakeGuest guest(512 << 10);
  EXPECT_FALSE(write_reset_vector(0x602, guest.memory()));
}

}  // namespace
}  // namespace nacre::machine
