#include "rate_limit.hpp"

#include <gtest/gtest.h>

#include <random>

namespace nacre::virtio_rng {
namespace {

constexpr uint64_t kSecond = 1000000000;

TEST(RateLimit, IsNoneByDefault) {
  RateLimit limit;
  EXPECT_EQ(limit.allowed(UINT64_MAX, 0), UINT64_MAX);
  limit.take(UINT64_MAX);
  EXPECT_EQ(limit.allowed(5, 0), 5u);
}

TEST(RateLimit, GivesSoMuchInAPeriod) {
  RateLimit limit(64, kSecond);
  const uint64_t start = 17 * kSecond;
  EXPECT_EQ(limit.allowed(16, start), 16u);
  limit.take(16);
  EXPECT_EQ(limit.allowed(100, start + 5), 48u);
  limit.take(48);
  EXPECT_EQ(limit.allowed(1, start + 10), 0u);
  EXPECT_EQ(limit.wait(start + 10), kSecond - 10);
  EXPECT_EQ(limit.allowed(1, start + kSecond - 1), 0u);
  EXPECT_EQ(limit.wait(start + kSecond - 1), 1u);
  EXPECT_EQ(limit.allowed(100, start + kSecond), 64u);
}

TEST(RateLimit, SavesNothingUp) {
  RateLimit limit(10, kSecond);
  EXPECT_EQ(limit.allowed(100, kSecond), 10u);
  limit.take(4);
  // Asked for is not taken.
  EXPECT_EQ(limit.allowed(100, kSecond + 1), 6u);
  EXPECT_EQ(limit.allowed(100, 50 * kSecond), 10u);
  limit.take(10);
  EXPECT_EQ(limit.allowed(100, 50 * kSecond + 1), 0u);
  EXPECT_EQ(limit.wait(90 * kSecond), 1u);
}

TEST(RateLimit, HoldsOverAnyTimes) {
  std::mt19937 random(3);
  RateLimit limit(1000, kSecond);
  uint64_t now = 0, taken = 0;
  while (now < 1000 * kSecond) {
    uint64_t bytes = limit.allowed(random() % 3000, now);
    taken += bytes;
    limit.take(bytes);
    now += random() % (kSecond / 2);
    ASSERT_LE(taken, (now / kSecond + 1) * 1000);
  }
  EXPECT_GT(taken, 500000u);
}

}  // namespace
}  // namespace nacre::virtio_rng
