#include "core/vm/qtest/access.hpp"

#include <algorithm>
#include <cstring>

namespace nacre::qtest {
namespace {

// The widest aligned access that a block of `length` bytes at `address` allows.
uint32_t width_at(uint64_t address, uint64_t length) {
  uint32_t width = 4;
  while (width > length || address % width) width /= 2;
  return width;
}

// The test is the guest, whose processors no ThreadSanitizer sees: what it does to memory while devices on other
// threads look at it is no race of ours.
#if defined __clang__
#define NACRE_AS_A_GUEST __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define NACRE_AS_A_GUEST __attribute__((noinline, no_sanitize("thread")))
#endif

// One access, a whole one, in order with what devices do.
template <typename Word>
NACRE_AS_A_GUEST uint64_t load_word(const uint8_t* from) {
  return __atomic_load_n(reinterpret_cast<const Word*>(from), __ATOMIC_SEQ_CST);
}
template <typename Word>
NACRE_AS_A_GUEST void store_word(uint8_t* to, uint64_t value) {
  __atomic_store_n(reinterpret_cast<Word*>(to), static_cast<Word>(value), __ATOMIC_SEQ_CST);
}

// Not memcpy(), which ThreadSanitizer sees wherever it is called.
NACRE_AS_A_GUEST void copy(uint8_t* to, const uint8_t* from, uint64_t length) {
  for (uint64_t i = 0; i < length; ++i)
    __atomic_store_n(to + i, __atomic_load_n(from + i, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

uint64_t load_memory(const uint8_t* from, uint32_t width) {
  return width == 1   ? load_word<uint8_t>(from)
         : width == 2 ? load_word<uint16_t>(from)
         : width == 4 ? load_word<uint32_t>(from)
                      : load_word<uint64_t>(from);
}
void store_memory(uint8_t* to, uint32_t width, uint64_t value) {
  width == 1   ? store_word<uint8_t>(to, value)
  : width == 2 ? store_word<uint16_t>(to, value)
  : width == 4 ? store_word<uint32_t>(to, value)
               : store_word<uint64_t>(to, value);
}

}  // namespace

uint64_t Access::load_device(uint64_t address, uint32_t width) {
  if (nobody_ == Nobody::Zeros && memory_.owner_of(address, width).empty()) return 0;
  return memory_.read(kReader, address, width);
}

uint64_t Access::load(uint64_t address, uint32_t width) {
  uint64_t value = 0;
  const TestVm::Piece piece = vm_.memory_at(address, false);
  if (piece.length >= width) {
    if (!piece.memory) return load_device(address, width);
    if (address % width == 0) return load_memory(piece.memory, width);
  }
  read(address, reinterpret_cast<uint8_t*>(&value), width);
  return value;
}

void Access::store(uint64_t address, uint32_t width, uint64_t value) {
  const TestVm::Piece piece = vm_.memory_at(address, true);
  if (piece.memory && piece.length >= width && address % width == 0) return store_memory(piece.memory, width, value);
  if (piece.memory || piece.length < width) return write(address, reinterpret_cast<const uint8_t*>(&value), width);
  if (width < 8) value &= (uint64_t{1} << (width * 8)) - 1;
  if (!vm_.take_write(false, address, width, value)) memory_.write(kReader, address, width, value);
}

void Access::read(uint64_t address, uint8_t* to, uint64_t length) {
  while (length) {
    const TestVm::Piece piece = vm_.memory_at(address, false);
    uint64_t part = std::min(length, piece.length);
    if (piece.memory) {
      copy(to, piece.memory, part);
    } else {
      part = width_at(address, std::max<uint64_t>(part, 1));
      const uint64_t value = load_device(address, static_cast<uint32_t>(part));
      std::memcpy(to, &value, part);
    }
    address += part;
    to += part;
    length -= part;
  }
}

void Access::write(uint64_t address, const uint8_t* from, uint64_t length) {
  while (length) {
    const TestVm::Piece piece = vm_.memory_at(address, true);
    uint64_t part = std::min(length, piece.length);
    if (piece.memory) {
      copy(piece.memory, from, part);
    } else {
      part = width_at(address, std::max<uint64_t>(part, 1));
      uint64_t value = 0;
      std::memcpy(&value, from, part);
      const auto width = static_cast<uint32_t>(part);
      if (!vm_.take_write(false, address, width, value)) memory_.write(kReader, address, width, value);
    }
    address += part;
    from += part;
    length -= part;
  }
}

void Access::out(uint16_t port, uint32_t width, uint64_t value) {
  if (width < 8) value &= (uint64_t{1} << (width * 8)) - 1;
  if (!vm_.take_write(true, port, width, value)) ports_.write(kReader, port, width, value);
}

}  // namespace nacre::qtest
