// The command set of Intel's parallel NOR flash (Intel P30 data sheet, 2007, §11; JEDEC CFI, JESD68.01): what a write
// into the array means and what a read gives meanwhile. Knows no host: the array is plain memory.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace nacre::flash {

// One chip, or several side by side that get the same command and answer each in its own bytes.
struct Geometry {
  uint32_t sector = 4096;     // bytes that one erase clears, of all chips together
  uint32_t bank_width = 1;    // bytes side by side: 1, 2, 4
  uint32_t device_width = 1;  // of which each chip has so many; divides bank_width
  bool readonly = false;      // programming and erasing fail
};

// Bits of the status register.
enum Status : uint8_t { kReady = 0x80, kEraseFailed = 0x20, kProgramFailed = 0x10, kLocked = 0x02 };

// Not for several threads at once.
class Cfi01 {
 public:
  // Bytes of the array that a command has changed.
  struct Changed {
    uint64_t offset = 0;
    uint64_t length = 0;  // 0: none
  };

  // The largest number of bytes that one buffered write programs in each chip.
  static constexpr uint32_t kBufferShift = 8;

  // `array` outlives this; its size is a multiple of the sector's.
  Cfi01(std::span<uint8_t> array, const Geometry& geometry) : array_(array), geometry_(geometry) {}

  // An access of `width` bytes (1, 2, 4 or 8) that lies inside the array.
  uint64_t read(uint64_t offset, uint32_t width) const;
  Changed write(uint64_t offset, uint32_t width, uint64_t value);

  // Reads give the array: nothing but a write needs to come here.
  bool reads_array() const { return mode_ == Mode::Array; }
  // Power-on: the array is kept, everything else forgotten.
  void reset();

 private:
  enum class Mode { Array, Status, Identity, Query };
  // What the next write is, when it is no command.
  enum class Expects { Command, Data, EraseConfirm, Count, Buffer, BufferConfirm, Lock };

  uint8_t identity(uint64_t index) const;
  uint8_t query(uint64_t index) const;
  uint64_t each_chip(uint8_t byte, uint32_t width) const;
  void command(uint8_t code);
  Changed program(uint64_t offset, std::span<const uint8_t> bytes);
  Changed erase(uint64_t offset);
  Changed fill(uint64_t offset, uint32_t width, uint64_t value);
  Changed commit();
  void expect(Expects next) { expects_ = next; }
  void end(uint8_t failed = 0);
  uint64_t buffer_size() const { return uint64_t{geometry_.bank_width / geometry_.device_width} << kBufferShift; }

  std::span<uint8_t> array_;
  const Geometry geometry_;
  Mode mode_ = Mode::Array;
  Expects expects_ = Expects::Command;
  uint8_t status_ = kReady;
  std::array<uint8_t, 4 << kBufferShift> buffer_{};
  uint64_t buffer_base_ = 0;  // of the aligned block that the buffer stands for
  uint64_t left_ = 0;         // bytes that the buffered write still waits for
  bool started_ = false;      // its first byte is there
  bool crossed_ = false;      // some lay outside of the block
};

}  // namespace nacre::flash
