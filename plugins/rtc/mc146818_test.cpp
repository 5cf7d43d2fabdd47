#include "mc146818.hpp"

#include <gtest/gtest.h>

namespace nacre::rtc {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'767'225'599 * kSecond;  // 2025-12-31 23:59:59, a Wednesday
enum : uint8_t { kA = 10, kB = 11, kC = 12, kD = 13, kCentury = 0x32 };

TEST(Mc146818, ShowsTheTimeInBcdAndRollsOver) {
  Mc146818 clock(kStart);
  EXPECT_EQ(clock.read(0, kStart), 0x59);
  EXPECT_EQ(clock.read(4, kStart), 0x23);
  EXPECT_EQ(clock.read(6, kStart), 4);
  EXPECT_EQ(clock.read(9, kStart), 0x25);
  EXPECT_EQ(clock.read(kCentury, kStart), 0x20);
  EXPECT_EQ(clock.read(kD, kStart), 0x80);
  const int64_t later = kStart + kSecond;
  EXPECT_EQ(clock.read(0, later), 0);
  EXPECT_EQ(clock.read(7, later), 1);
  EXPECT_EQ(clock.read(8, later), 1);
  EXPECT_EQ(clock.read(9, later), 0x26);
}

TEST(Mc146818, KnowsBinaryAndTwelveHours) {
  Mc146818 clock(kStart);
  clock.write(kB, 4, kStart);  // binary, 12 hours
  EXPECT_EQ(clock.read(4, kStart), 11 | 0x80);
  EXPECT_EQ(clock.read(2, kStart), 59);
  clock.write(4, 12, kStart);  // midnight
  clock.write(kB, 6, kStart);
  EXPECT_EQ(clock.read(4, kStart), 0);
}

TEST(Mc146818, TakesAnotherTimeWhenItIsSet) {
  Mc146818 clock(kStart);
  clock.write(kB, 0x82, kStart);
  for (auto [index, value] : {std::pair{0, 0x30}, {2, 0x15}, {4, 0x06}, {7, 0x09}, {8, 0x02}, {9, 0x99}})
    clock.write(static_cast<uint8_t>(index), static_cast<uint8_t>(value), kStart);
  clock.write(kCentury, 0x19, kStart);
  const int64_t later = kStart + 100 * kSecond;
  EXPECT_EQ(clock.read(0, later), 0x30) << "it stands while it is being set";
  clock.write(kB, 0x02, later);
  EXPECT_EQ(clock.read(0, later + 5 * kSecond), 0x35);
  EXPECT_EQ(clock.read(9, later), 0x99);
  EXPECT_EQ(clock.read(6, later), 3) << "9 February 1999 was a Tuesday";
}

TEST(Mc146818, RaisesTheUpdateInterruptEachSecond) {
  Mc146818 clock(kStart);
  EXPECT_FALSE(clock.next_event());
  clock.write(kB, 0x12, kStart);
  ASSERT_TRUE(clock.next_event());
  EXPECT_EQ(*clock.next_event(), kStart + kSecond);
  EXPECT_FALSE(clock.line(kStart + kSecond - 1));
  EXPECT_TRUE(clock.line(kStart + kSecond));
  EXPECT_FALSE(clock.next_event()) << "nothing more can happen to the line";
  EXPECT_EQ(clock.read(kC, kStart + kSecond) & 0x90, 0x90);
  EXPECT_FALSE(clock.line(kStart + kSecond));
  EXPECT_EQ(*clock.next_event(), kStart + 2 * kSecond);
}

TEST(Mc146818, RaisesTheAlarmAtItsTime) {
  Mc146818 clock(kStart);
  clock.write(1, 0x05, kStart);
  clock.write(3, 0x00, kStart);
  clock.write(5, 0xff, kStart);  // any hour
  clock.write(kB, 0x22, kStart);
  ASSERT_TRUE(clock.next_event());
  EXPECT_EQ(*clock.next_event(), kStart + 6 * kSecond);
  EXPECT_FALSE(clock.line(kStart + 5 * kSecond));
  EXPECT_TRUE(clock.line(kStart + 6 * kSecond));
  EXPECT_EQ(clock.read(kC, kStart + 6 * kSecond) & 0xa0, 0xa0);
  EXPECT_EQ(*clock.next_event(), kStart + (6 + 3600) * kSecond);
}

TEST(Mc146818, AnAlarmThatNeverIsGoesOffNever) {
  Mc146818 clock(kStart);
  clock.write(5, 0x77, kStart);
  clock.write(kB, 0x22, kStart);
  for (int hour = 0; hour < 50; ++hour) EXPECT_FALSE(clock.line(kStart + hour * 3600 * kSecond));
}

TEST(Mc146818, RunsThePeriodicInterruptAtItsRate) {
  Mc146818 clock(kStart);
  clock.write(kA, 0x26, kStart);  // 1024 Hz
  clock.write(kB, 0x42, kStart);
  int64_t time = kStart;
  for (int i = 0; i < 1024; ++i) {
    ASSERT_TRUE(clock.next_event());
    time = *clock.next_event();
    EXPECT_FALSE(clock.line(time - 1));
    EXPECT_TRUE(clock.line(time));
    clock.read(kC, time);
  }
  EXPECT_EQ(time, kStart + kSecond) << "it must not drift";
  clock.write(kA, 0x20, time);
  EXPECT_FALSE(clock.next_event()) << "rate 0 is off";
}

TEST(Mc146818, SaysWhenAnUpdateIsNear) {
  Mc146818 clock(kStart);
  EXPECT_EQ(clock.read(kA, kStart) & 0x80, 0);
  EXPECT_EQ(clock.read(kA, kStart + kSecond - 1000) & 0x80, 0x80);
}

TEST(Mc146818, KeepsTimeAndMemoryOverAResetAndAState) {
  Mc146818 clock(kStart);
  clock.set_memory(0x34, 0xab);
  clock.write(0x40, 7, kStart);
  clock.write(2, 0x10, kStart);
  clock.write(kB, 0x52, kStart);
  clock.reset(kStart);
  EXPECT_FALSE(clock.next_event());
  EXPECT_EQ(clock.read(2, kStart), 0x10);
  EXPECT_EQ(clock.read(0x34, kStart), 0xab);
  Mc146818 other(kStart);
  other.load(clock.save(), kStart);
  EXPECT_EQ(other.read(2, kStart), 0x10);
  EXPECT_EQ(other.read(0x40, kStart), 7);
}

TEST(Mc146818, TakesNonsense) {
  Mc146818 clock(kStart);
  for (int index = 0; index < 256; ++index)
    for (uint8_t value : {uint8_t{0xff}, uint8_t{0x00}, uint8_t{0x99}}) {
      clock.write(static_cast<uint8_t>(index), value, kStart);
      clock.read(static_cast<uint8_t>(index), kStart);
      clock.line(kStart + kSecond);
      clock.next_event();
    }
  // 65 centuries before and 14 after what nanoseconds reach
  for (auto [century, year] : {std::pair{uint8_t{0}, uint8_t{0}}, {uint8_t{0xff}, uint8_t{0xff}}}) {
    clock.write(kCentury, century, kStart);
    clock.write(9, year, kStart);
    clock.line(kStart + kSecond);
  }
  for (int64_t offset : {INT64_MAX, INT64_MIN}) {
    Mc146818::State state = clock.save();
    state.offset = offset;
    clock.load(state, kStart);
    clock.read(0, kStart);
    clock.line(kStart + kSecond);
  }
}

}  // namespace
}  // namespace nacre::rtc
