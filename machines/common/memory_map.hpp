// The guest-physical map that a machine with x86 direct kernel boot has: RAM, and what the boot structures take of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nacre::machine {

inline constexpr uint64_t kMiB = 1ull << 20;
inline constexpr uint64_t kGiB = 1ull << 30;

// Where things stand below 1 MiB when the kernel is entered.
namespace low {
inline constexpr uint64_t kGdt = 0x500;
inline constexpr uint64_t kIdt = 0x520;
inline constexpr uint64_t kPvhStartInfo = 0x6000;  // to 0x7000
inline constexpr uint64_t kZeroPage = 0x7000;
inline constexpr uint64_t kStackTop = 0x8ff0;
inline constexpr uint64_t kPml4 = 0x9000;
inline constexpr uint64_t kPdpt = 0xa000;
inline constexpr uint64_t kPageDirectories = 0xb000;  // one page a GiB, at most four
inline constexpr uint64_t kCommandLine = 0x20000;     // to kCommandLineEnd
inline constexpr uint64_t kCommandLineEnd = 0x30000;
inline constexpr uint64_t kEbda = 0x9fc00;  // to 0xA0000
inline constexpr uint64_t kVideo = 0xa0000;
inline constexpr uint64_t kFirmware = 0xd0000;  // to 1 MiB, reserved in the map
inline constexpr uint64_t kAcpi = 0xe0000;      // to 0xF0000: inside the range where a root pointer is searched for
inline constexpr uint64_t kBios = 0xf0000;      // to 1 MiB
inline constexpr uint64_t kEnd = kMiB;
}  // namespace low

// RAM of a PC: [0, low_end) and, when there is more than fits below the gap, [4 GiB, high_end).
struct RamLayout {
  uint64_t low_end = 0;
  uint64_t high_end = 4 * kGiB;

  // Splits `size` bytes of RAM at the gap that begins at `gap`.
  static RamLayout split(uint64_t size, uint64_t gap) {
    return size <= gap ? RamLayout{size, 4 * kGiB} : RamLayout{gap, 4 * kGiB + (size - gap)};
  }
  bool has_high() const { return high_end > 4 * kGiB; }
};

enum class RangeType : uint32_t { kRam = 1, kReserved = 2 };  // ACPI 6.4 §15, table 15.1

struct MemoryRange {
  uint64_t base;
  uint64_t length;
  RangeType type;
};

// Returns the map that the guest is given, ascending and without overlap: the EBDA and 0xD0000..1 MiB reserved,
// 0xA0000..0xCFFFF in no range, the rest of RAM usable; `reserved` lies between both parts of RAM.
std::vector<MemoryRange> memory_map(const RamLayout& ram, const std::vector<MemoryRange>& reserved = {});

// Returns "0x..." in lower case, for messages.
std::string hex(uint64_t value);
// Returns a size for messages: in MiB, rounded up, from 1 MiB on, in bytes below.
std::string size_text(uint64_t bytes);

}  // namespace nacre::machine
