#include "balloon_stats.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nacre::virtio_balloon {
namespace {

class BalloonStats : public testing::Test {
 protected:
  void entry(uint16_t tag, uint64_t value) {
    for (unsigned i = 0; i < 2; ++i) bytes_.push_back(static_cast<uint8_t>(tag >> 8 * i));
    for (unsigned i = 0; i < 8; ++i) bytes_.push_back(static_cast<uint8_t>(value >> 8 * i));
  }
  // In two pieces, cut where it hurts.
  nacre_balloon_stats parse() {
    const size_t cut = bytes_.size() / 3;
    iov_[0] = {bytes_.data(), cut};
    iov_[1] = {bytes_.data() + cut, bytes_.size() - cut};
    return parse_stats(sdk::IoVector(iov_, 2, bytes_.size()), 1700000000);
  }

  std::vector<uint8_t> bytes_;
  iovec iov_[2];
};

TEST_F(BalloonStats, TakesWhatTheDriverTells) {
  entry(4, 123 << 20);
  entry(0, ~0ull);
  entry(5, 256 << 20);
  nacre_balloon_stats stats = parse();
  EXPECT_EQ(stats.known, 1u << 4 | 1u << 0 | 1u << 5);
  EXPECT_EQ(stats.values[4], 123ull << 20);
  EXPECT_EQ(stats.values[0], ~0ull);
  EXPECT_EQ(stats.values[5], 256ull << 20);
  EXPECT_EQ(stats.last_update, 1700000000u);
}

TEST_F(BalloonStats, LeavesOutUnknownTagsAndHalfEntries) {
  entry(15, 1);
  entry(16, 2);
  entry(0xffff, 3);
  entry(4, 9);
  entry(4, 10);
  entry(5, 1);
  bytes_.pop_back();
  nacre_balloon_stats stats = parse();
  EXPECT_EQ(stats.known, 1u << 15 | 1u << 4);
  EXPECT_EQ(stats.values[4], 10u);
}

TEST_F(BalloonStats, ReadsNoMoreThanItsLimit) {
  for (unsigned i = 0; i < kMaxEntries; ++i) entry(4, i);
  entry(4, 1000);
  EXPECT_EQ(parse().values[4], kMaxEntries - 1);
}

TEST_F(BalloonStats, OfNothingIsNothing) {
  nacre_balloon_stats stats = parse_stats(sdk::IoVector(), 1);
  EXPECT_EQ(stats.known, 0u);
  EXPECT_EQ(stats.last_update, 1u);
}

}  // namespace
}  // namespace nacre::virtio_balloon
