#include "core/backend/block_throttle.hpp"

#include <gtest/gtest.h>

namespace nacre {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kStart = 1000 * kSecond;

TEST(BlockThrottle, ZeroIsNoLimit) {
  BlockThrottle throttle(0);
  EXPECT_FALSE(throttle.limited());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(throttle.take(kStart), 0u);
}

TEST(BlockThrottle, OnePerSecond) {
  BlockThrottle throttle(1);
  EXPECT_EQ(throttle.take(kStart), 0u);
  EXPECT_EQ(throttle.take(kStart), kSecond);
  EXPECT_EQ(throttle.take(kStart + kSecond / 4), kSecond * 3 / 4);
  EXPECT_EQ(throttle.take(kStart + kSecond), 0u);
}

TEST(BlockThrottle, BurstOfOneSecondThenTheRate) {
  BlockThrottle throttle(100);
  int taken = 0;
  while (throttle.take(kStart) == 0) ++taken;
  EXPECT_EQ(taken, 100);
  EXPECT_EQ(throttle.take(kStart), kSecond / 100);
  for (uint64_t ms = 1; ms <= 2000; ++ms)
    while (throttle.take(kStart + ms * 1'000'000) == 0) ++taken;
  EXPECT_EQ(taken, 300);
}

TEST(BlockThrottle, IdleTimeSavesNoMoreThanOneSecond) {
  BlockThrottle throttle(10);
  EXPECT_EQ(throttle.take(kStart), 0u);
  int taken = 0;
  while (throttle.take(kStart + 100 * kSecond) == 0) ++taken;
  EXPECT_EQ(taken, 10);
}

}  // namespace
}  // namespace nacre
