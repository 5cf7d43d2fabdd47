#include "mc146818.hpp"

#include <algorithm>
#include <ctime>

namespace nacre::rtc {
namespace {

enum Index : uint8_t {
  kSeconds = 0,
  kSecondsAlarm = 1,
  kMinutes = 2,
  kMinutesAlarm = 3,
  kHours = 4,
  kHoursAlarm = 5,
  kDayOfWeek = 6,
  kDay = 7,
  kMonth = 8,
  kYear = 9,
  kA = 10,
  kB = 11,
  kC = 12,
  kD = 13,
  kCentury = 0x32,
};
constexpr uint8_t kUpdateInProgress = 0x80, kRateMask = 0x0f, kDividerRuns = 0x20;  // A: a 32.768 kHz crystal
constexpr uint8_t kSet = 0x80, kPeriodicOn = 0x40, kAlarmOn = 0x20, kUpdateOn = 0x10, kBinary = 4, k24Hours = 2;  // B
constexpr uint8_t kInterrupt = 0x80, kPeriodic = 0x40, kAlarm = 0x20, kUpdate = 0x10;                             // C
constexpr uint8_t kPower = 0x80;                                                                                  // D
constexpr uint8_t kAfternoon = 0x80;
constexpr uint8_t kAnyFrom = 0xc0;          // an alarm byte from here up matches everything
constexpr int64_t kLatest = 9'000'000'000;  // seconds: 2255
constexpr int64_t kUpdateTime = 244'000;    // ns before a second's end

constexpr int64_t kSecondNs = 1'000'000'000, kCrystal = 32768;  // Hz

// Cycles of the crystal since 1970, and the first nanosecond of one.
int64_t cycles(int64_t time) {
  return time / kSecondNs * kCrystal + time % kSecondNs * kCrystal / kSecondNs;
}
int64_t time_of_cycle(int64_t cycle) {
  return cycle / kCrystal * kSecondNs + (cycle % kCrystal * kSecondNs + kCrystal - 1) / kCrystal;
}

bool is_time(uint8_t index) {
  return (index <= kYear && (index % 2 == 0 || index >= kDay)) || index == kCentury;
}

}  // namespace

Mc146818::Mc146818(int64_t now) {
  bytes_[kA] = kDividerRuns | 6;  // as a PC's firmware leaves it: 1024 Hz
  bytes_[kB] = k24Hours;
  seen_ = now;
  show_time(now);
}

bool Mc146818::frozen() const {
  return (bytes_[kB] & kSet) != 0;
}

uint8_t Mc146818::encode(int value) const {
  if (bytes_[kB] & kBinary) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

int Mc146818::decode(uint8_t value) const {
  return bytes_[kB] & kBinary ? value : (value >> 4) * 10 + (value & 15);
}

void Mc146818::show_time(int64_t now) {
  const time_t time = seconds(now);
  tm fields{};
  gmtime_r(&time, &fields);
  bytes_[kSeconds] = encode(fields.tm_sec);
  bytes_[kMinutes] = encode(fields.tm_min);
  if (bytes_[kB] & k24Hours) {
    bytes_[kHours] = encode(fields.tm_hour);
  } else {
    const int hour = fields.tm_hour % 12 == 0 ? 12 : fields.tm_hour % 12;
    bytes_[kHours] = static_cast<uint8_t>(encode(hour) | (fields.tm_hour >= 12 ? kAfternoon : 0));
  }
  bytes_[kDayOfWeek] = encode(fields.tm_wday + 1);
  bytes_[kDay] = encode(fields.tm_mday);
  bytes_[kMonth] = encode(fields.tm_mon + 1);
  bytes_[kYear] = encode(fields.tm_year % 100);
  bytes_[kCentury] = encode(fields.tm_year / 100 + 19);
}

// Nanoseconds reach to the year 2262, and this clock from 1970 to 2255.
void Mc146818::set_offset(int64_t offset, int64_t now) {
  offset_ = std::clamp(offset, -now, kLatest * kSecond - now);
  seen_ = now + offset_;
}

void Mc146818::take_time(int64_t now) {
  tm fields{};
  fields.tm_sec = decode(bytes_[kSeconds]);
  fields.tm_min = decode(bytes_[kMinutes]);
  const uint8_t hours = bytes_[kHours];
  if (bytes_[kB] & k24Hours)
    fields.tm_hour = decode(hours);
  else
    fields.tm_hour = decode(hours & 0x7f) % 12 + (hours & kAfternoon ? 12 : 0);
  fields.tm_mday = decode(bytes_[kDay]);
  fields.tm_mon = decode(bytes_[kMonth]) - 1;
  fields.tm_year = decode(bytes_[kYear]) + (decode(bytes_[kCentury]) - 19) * 100;
  // timegm() takes fields of any size: nonsense from the guest is some other time.
  set_offset(std::clamp<int64_t>(timegm(&fields), 0, kLatest) * kSecond - now, now);
}

// The periodic interrupt counts the crystal's cycles down by a power of two; 0: it is off.
int Mc146818::divider_bits() const {
  const int rate = bytes_[kA] & kRateMask;
  return rate == 0 || rate > 2 ? rate : rate + 7;
}

bool Mc146818::alarm_is(uint8_t index, int value) const {
  const uint8_t byte = bytes_[index];
  if (byte >= kAnyFrom) return true;
  if (index != kHoursAlarm || (bytes_[kB] & k24Hours)) return decode(byte) == value;
  return decode(byte & 0x7f) % 12 + (byte & kAfternoon ? 12 : 0) == value;
}

// The first second of the guest's after `after` at which the alarm goes off; a day and more later when it never does.
int64_t Mc146818::next_alarm(int64_t after) const {
  constexpr int64_t kMinute = 60, kHour = 3600, kDayLength = 86400;
  int64_t at = after + 1;
  while (at <= after + kDayLength) {
    const int64_t of_day = (at % kDayLength + kDayLength) % kDayLength;
    if (!alarm_is(kHoursAlarm, static_cast<int>(of_day / kHour)))
      at += kHour - of_day % kHour;
    else if (!alarm_is(kMinutesAlarm, static_cast<int>(of_day % kHour / kMinute)))
      at += kMinute - of_day % kMinute;
    else if (!alarm_is(kSecondsAlarm, static_cast<int>(of_day % kMinute)))
      ++at;
    else
      return at;
  }
  return at;
}

void Mc146818::advance(int64_t now) {
  const int64_t time = now + offset_;
  if (const int bits = divider_bits(); bits != 0 && cycles(time) >> (bits - 1) != cycles(seen_) >> (bits - 1))
    bytes_[kC] |= kPeriodic;
  if (!frozen() && time / kSecond != seen_ / kSecond) {
    bytes_[kC] |= kUpdate;
    if (next_alarm(seen_ / kSecond) <= time / kSecond) bytes_[kC] |= kAlarm;
  }
  seen_ = time;
  // The enable bits of B stand where the flags of C do.
  if (bytes_[kC] & bytes_[kB] & (kPeriodic | kAlarm | kUpdate)) bytes_[kC] |= kInterrupt;
}

bool Mc146818::line(int64_t now) {
  advance(now);
  return (bytes_[kC] & kInterrupt) != 0;
}

std::optional<int64_t> Mc146818::next_event() const {
  const uint8_t wanted = bytes_[kB] & (kPeriodicOn | kAlarmOn | kUpdateOn);
  if (bytes_[kC] & kInterrupt) return std::nullopt;
  std::optional<int64_t> first;
  auto consider = [&](int64_t time) {
    if (!first || time < *first) first = time;
  };
  if (const int bits = divider_bits(); (wanted & kPeriodicOn) && bits != 0)
    consider(time_of_cycle(((cycles(seen_) >> (bits - 1)) + 1) << (bits - 1)));
  if (!frozen() && (wanted & kUpdateOn)) consider((seen_ / kSecond + 1) * kSecond);
  if (!frozen() && (wanted & kAlarmOn)) consider(next_alarm(seen_ / kSecond) * kSecond);
  if (first) *first -= offset_;
  return first;
}

uint8_t Mc146818::read(uint8_t index, int64_t now) {
  index %= kBytes;
  if (is_time(index) && !frozen()) show_time(now);
  if (index == kA) {
    const bool updating = !frozen() && (now + offset_) % kSecond >= kSecond - kUpdateTime;
    return static_cast<uint8_t>(bytes_[kA] | (updating ? kUpdateInProgress : 0));
  }
  if (index == kC) {
    advance(now);
    const uint8_t flags = bytes_[kC];
    bytes_[kC] = 0;
    return flags;
  }
  return index == kD ? kPower : bytes_[index];
}

void Mc146818::write(uint8_t index, uint8_t value, int64_t now) {
  index %= kBytes;
  advance(now);
  if (is_time(index)) {
    if (!frozen()) show_time(now);
    bytes_[index] = value;
    if (!frozen()) take_time(now);
  } else if (index == kA) {
    bytes_[kA] = value & static_cast<uint8_t>(~kUpdateInProgress);
  } else if (index == kB) {
    const bool was_frozen = frozen();
    if (!was_frozen && (value & kSet)) show_time(now);
    bytes_[kB] = value;
    if (was_frozen && !(value & kSet)) take_time(now);
    if (value & kSet) bytes_[kB] &= static_cast<uint8_t>(~kUpdateOn);
  } else if (index != kC && index != kD) {
    bytes_[index] = value;
  }
  advance(now);
}

void Mc146818::reset(int64_t now) {
  if (frozen()) write(kB, bytes_[kB] & static_cast<uint8_t>(~kSet), now);
  bytes_[kB] &= static_cast<uint8_t>(~(kPeriodicOn | kAlarmOn | kUpdateOn));
  bytes_[kC] = 0;
}

void Mc146818::load(const State& state, int64_t now) {
  bytes_ = state.bytes;
  set_offset(state.offset, now);
}

}  // namespace nacre::rtc
