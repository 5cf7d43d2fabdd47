#include "core/snapshot/device_state.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace nacre {
namespace {

StateWriter sample() {
  StateWriter writer(3);
  EXPECT_TRUE(writer.put_u64(1, 42));
  EXPECT_TRUE(writer.put_bytes(2, "abc", 3));
  EXPECT_TRUE(writer.put_bytes(7, "", 0));
  return writer;
}

TEST(DeviceState, ReadsWhatWasWritten) {
  StateWriter writer = sample();
  auto reader = StateReader::parse(writer.bytes());
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->version(), 3u);
  uint64_t number = 0;
  std::span<const uint8_t> bytes;
  EXPECT_EQ(reader->get_bytes(2, bytes), StateReader::Found::Yes);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "abc");
  EXPECT_EQ(reader->get_u64(1, number), StateReader::Found::Yes);
  EXPECT_EQ(number, 42u);
  EXPECT_EQ(reader->get_u64(5, number), StateReader::Found::No);
  EXPECT_EQ(reader->get_u64(2, number), StateReader::Found::OtherType);
  EXPECT_EQ(reader->get_bytes(1, bytes), StateReader::Found::OtherType);
}

TEST(DeviceState, TakesEachTagOnce) {
  StateWriter writer = sample();
  EXPECT_FALSE(writer.put_u64(2, 1));
}

TEST(DeviceState, Row08RefusesEveryTruncation) {
  StateWriter writer = sample();
  auto& bytes = writer.bytes();
  // Cuts between two fields leave a sound, shorter sequence.
  for (size_t n = 0; n < bytes.size(); ++n) {
    bool between = n == 4 || n == 4 + 24 || n == 4 + 24 + 19;
    EXPECT_EQ(bool(StateReader::parse(std::span(bytes).first(n))), between) << n;
  }
}

TEST(DeviceState, SurvivesFlippedBits) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = sample().bytes();
    for (int flips = 0; flips < 3; ++flips) bytes[random() % bytes.size()] ^= uint8_t(1u << random() % 8);
    if (auto reader = StateReader::parse(bytes)) {
      std::span<const uint8_t> got;
      if (reader->get_bytes(2, got) == StateReader::Found::Yes) {
        EXPECT_LE(got.size(), bytes.size());
      }
    }
  }
}

}  // namespace
}  // namespace nacre
