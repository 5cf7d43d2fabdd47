#include "core/bus/pci/config_space.hpp"

namespace nacre::pci {

uint32_t ConfigSpace::read(uint32_t offset, uint32_t width) const {
  uint32_t value = 0;
  std::memcpy(&value, bytes_.data() + offset, width);
  return value;
}

void ConfigSpace::write(uint32_t offset, uint32_t width, uint32_t value) {
  for (uint32_t i = 0; i < width; ++i) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    uint8_t& now = bytes_[offset + i];
    const uint8_t writable = writable_[offset + i];
    now = static_cast<uint8_t>(((now & ~writable) | (byte & writable)) & ~(byte & clears_[offset + i]));
  }
}

void ConfigSpace::set_mask(Bytes& masks, uint32_t offset, uint32_t width, uint32_t mask) {
  for (uint32_t i = 0; i < width; ++i) masks[offset + i] = static_cast<uint8_t>(mask >> (8 * i));
}

bool ConfigSpace::take(uint32_t at, uint32_t size) {
  if (at < kHeaderEnd || at >= kBytes || at % 4 || size == 0 || size > kBytes - at) return false;
  const uint32_t first = at / 4, end = (at + size + 3) / 4;
  for (uint32_t unit = first; unit < end; ++unit)
    if (taken_[unit]) return false;
  for (uint32_t unit = first; unit < end; ++unit) taken_.set(unit);
  return true;
}

// At `at`, or the first room in [from, end); 0 when there is none.
uint32_t ConfigSpace::place(uint32_t size, uint32_t at, uint32_t from, uint32_t end) {
  if (size == 0 || size > end - from) return 0;
  if (at) return at >= from && at <= end - size && take(at, size) ? at : 0;
  for (at = from; at <= end - size; at += 4)
    if (take(at, size)) return at;
  return 0;
}

uint32_t ConfigSpace::add_capability(uint8_t id, uint32_t size, uint32_t wanted) {
  const uint32_t at = place(size, wanted, kHeaderEnd, kConventionalEnd);
  if (!at) return 0;
  set8(at, id);
  set8(last_ ? last_ + 1 : kCapabilities, static_cast<uint8_t>(at));
  set16(kStatus, static_cast<uint16_t>(get16(kStatus) | kHasCapabilities));
  last_ = at;
  return at;
}

// The list begins at 0x100, where a function without any has zeroes (PCIe 5.0 §7.6.3).
uint32_t ConfigSpace::add_extended_capability(uint16_t id, uint8_t version, uint32_t size, uint32_t wanted) {
  if (!last_extended_ && wanted > kConventionalEnd) return 0;
  const uint32_t at = place(size, wanted, kConventionalEnd, kBytes);
  if (!at) return 0;
  set32(at, id | uint32_t{version} << 16);
  if (last_extended_) set32(last_extended_, get32(last_extended_) | at << 20);
  last_extended_ = at;
  return at;
}

uint32_t ConfigSpace::find_capability(uint8_t id) const {
  for (uint32_t at = bytes_[kCapabilities]; at; at = bytes_[at + 1])
    if (bytes_[at] == id) return at;
  return 0;
}

}  // namespace nacre::pci
