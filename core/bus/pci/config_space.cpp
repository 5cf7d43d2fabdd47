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

uint32_t ConfigSpace::add_capability(uint8_t id, uint32_t size) {
  const uint32_t at = next_;
  const uint32_t end = (at + size + 3) & ~3u;
  if (end > kConventionalEnd) return 0;
  next_ = end;
  set8(at, id);
  set8(last_ ? last_ + 1 : kCapabilities, static_cast<uint8_t>(at));
  set16(kStatus, static_cast<uint16_t>(get16(kStatus) | kHasCapabilities));
  last_ = at;
  return at;
}

uint32_t ConfigSpace::add_extended_capability(uint16_t id, uint8_t version, uint32_t size) {
  const uint32_t at = next_extended_;
  const uint32_t end = (at + size + 3) & ~3u;
  if (end > kBytes) return 0;
  next_extended_ = end;
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
