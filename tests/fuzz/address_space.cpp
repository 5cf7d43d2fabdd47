// Dispatch of accesses to memory and ports, against a plain model of it, while ranges come and go.
#include "core/bus/address_space.hpp"

#include <list>

#include "tests/fuzz/input.hpp"
#include "tests/fuzz/quiet.hpp"

namespace {

using namespace nacre;
using fuzz::require;

struct Range {
  uint64_t base, length;
  BusRegion* region = nullptr;
  uint64_t value = 0;
  int calls = 0;
  uint64_t last_offset = 0;

  static uint64_t read(void* self, uint64_t offset, uint32_t width) noexcept {
    return static_cast<Range*>(self)->called(offset, width);
  }
  static void write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    static_cast<Range*>(self)->called(offset, width);
    static_cast<Range*>(self)->value = value;
  }
  uint64_t called(uint64_t offset, uint32_t width) {
    require(width <= length && offset <= length - width, "an access lies in its range");
    ++calls;
    last_offset = offset;
    return value;
  }
  bool holds(uint64_t address, uint32_t width) const {
    return address >= base && width <= length && address - base <= length - width;
  }
};

constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, Range::read, Range::write};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  AddressSpace::Options options;
  const bool ports = input.number<uint8_t>() & 1;
  options.space = ports ? NACRE_SPACE_PIO : NACRE_SPACE_MMIO;
  AddressSpace space(options);
  std::list<Range> ranges;
  // Small numbers meet each other; some are any.
  auto number = [&] {
    const uint8_t kind = input.number<uint8_t>();
    if (kind == 0xff) return input.number<uint64_t>();
    return uint64_t{input.number<uint8_t>()} << kind % 4 * 4;
  };
  for (int step = 0; step < 200 && !input.empty(); ++step) {
    switch (input.below(4)) {
      case 0: {
        const uint64_t base = number(), length = number();
        Range& range = ranges.emplace_back(Range{base, length});
        const uint32_t flags = input.number<uint8_t>() & 1 ? NACRE_MMIO_SERIALIZE : 0;
        Result<BusRegion*> claimed = space.claim(base, length, flags, kOps, &range, "device 'd'");
        bool free = length > 0 && base + length - 1 >= base;
        if (ports) free = free && base + length - 1 <= 0xffff;
        for (const Range& other : ranges)
          if (&other != &range && free && base < other.base + other.length && other.base < base + length) free = false;
        // A range that ends with the last address: either answer is sound.
        if (base + length != 0) require(bool(claimed) == free, "a range is claimed where it is free");
        if (claimed) {
          range.region = *claimed;
          require(space.owner_of(base, 1) == "device 'd'", "a range has its owner");
        } else {
          fuzz::require_sentence(claimed.error().message);
          ranges.pop_back();
        }
        break;
      }
      case 1: {
        if (ranges.empty()) break;
        auto leaving = std::next(ranges.begin(), input.below(static_cast<uint32_t>(ranges.size())));
        space.release(leaving->region);
        ranges.erase(leaving);
        break;
      }
      default: {
        const bool write = input.number<uint8_t>() & 1;
        const uint64_t address = number(), value = input.number<uint64_t>();
        const uint32_t width = input.number<uint8_t>() % 10;
        Range* hit = nullptr;
        for (Range& range : ranges)
          if (range.holds(address, width)) hit = &range;
        if (width != 1 && width != 2 && width != 4 && width != 8) hit = nullptr;
        for (Range& range : ranges) range.calls = 0;
        if (write) {
          space.write(0, address, width, value);
        } else {
          const uint64_t got = space.read(0, address, width);
          const uint64_t mask = width >= 8 ? ~0ull : (1ull << 8 * width) - 1;
          if (width == 1 || width == 2 || width == 4 || width == 8)
            require(got == ((hit ? hit->value : ~0ull) & mask), "a read gives what its range has, or ones");
        }
        for (const Range& range : ranges)
          require(range.calls == (&range == hit), "an access reaches the range that holds it and no other");
        if (hit) require(hit->last_offset == address - hit->base, "offsets count from the range's begin");
        break;
      }
    }
  }
  for (Range& range : ranges) space.release(range.region);
  return 0;
}
