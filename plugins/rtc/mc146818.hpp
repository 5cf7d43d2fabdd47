// The clock of a PC: an MC146818 with 128 bytes of battery-backed memory (Motorola MC146818 data sheet; Intel ICH9
// §13.6).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace nacre::rtc {

// Knows no thread and no timer: each call is told the time, in nanoseconds since 1970, which never goes back.
class Mc146818 {
 public:
  static constexpr uint32_t kBytes = 128;
  static constexpr uint8_t kFirstFree = 0x0e;  // memory from here up, but for the century

  explicit Mc146818(int64_t now);

  uint8_t read(uint8_t index, int64_t now);
  void write(uint8_t index, uint8_t value, int64_t now);
  // Registers as after a reset of the machine: the time and the memory stay.
  void reset(int64_t now);

  // Whether the interrupt line is up.
  bool line(int64_t now);
  // When the line may go up next; nothing while no interrupt is enabled or it is up already.
  std::optional<int64_t> next_event() const;

  // Memory that firmware reads, see kFirstFree.
  void set_memory(uint8_t index, uint8_t value) { bytes_[index % kBytes] = value; }

  struct State {
    std::array<uint8_t, kBytes> bytes;
    int64_t offset;
  };
  State save() const { return {bytes_, offset_}; }
  void load(const State& state, int64_t now);

 private:
  bool frozen() const;
  int64_t seconds(int64_t now) const { return (now + offset_) / kSecond; }
  void advance(int64_t now);
  void show_time(int64_t now);
  void take_time(int64_t now);
  void set_offset(int64_t offset, int64_t now);
  uint8_t encode(int value) const;
  int decode(uint8_t value) const;
  bool alarm_is(uint8_t index, int value) const;
  int64_t next_alarm(int64_t after) const;
  int divider_bits() const;

  static constexpr int64_t kSecond = 1'000'000'000;
  std::array<uint8_t, kBytes> bytes_{};
  int64_t offset_ = 0;  // guest's time less the host's, ns
  int64_t seen_ = 0;    // guest's time up to which flags have been set, ns
};

}  // namespace nacre::rtc
