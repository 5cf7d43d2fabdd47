#include "machines/common/memory_map.hpp"

#include <algorithm>
#include <charconv>

namespace nacre::machine {

std::vector<MemoryRange> memory_map(const RamLayout& ram, const std::vector<MemoryRange>& reserved) {
  const std::vector<MemoryRange> low = {
      {0, low::kEbda, RangeType::kRam},
      {low::kEbda, low::kVideo - low::kEbda, RangeType::kReserved},
      {low::kFirmware, low::kEnd - low::kFirmware, RangeType::kReserved},
  };
  std::vector<MemoryRange> map;
  for (MemoryRange range : low) {
    if (range.base >= ram.low_end) break;
    range.length = std::min(range.length, ram.low_end - range.base);
    map.push_back(range);
  }
  if (ram.low_end > low::kEnd) map.push_back({low::kEnd, ram.low_end - low::kEnd, RangeType::kRam});
  map.insert(map.end(), reserved.begin(), reserved.end());
  if (ram.has_high()) map.push_back({4 * kGiB, ram.high_end - 4 * kGiB, RangeType::kRam});
  return map;
}

std::string hex(uint64_t value) {
  char text[16];
  auto [end, error] = std::to_chars(text, text + sizeof text, value, 16);
  return "0x" + std::string(text, end);
}

std::string size_text(uint64_t bytes) {
  if (bytes < kMiB) return std::to_string(bytes) + " bytes";
  return std::to_string(bytes / kMiB + (bytes % kMiB != 0)) + " MiB";
}

}  // namespace nacre::machine
