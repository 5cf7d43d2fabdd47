// The configuration space of one function: bytes, and for each byte which bits the guest may write and how.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <cstring>

namespace nacre::pci {

// Offsets of the header, PCI 3.0 §6.1 (type 0) and PCI-to-PCI bridge 1.2 §3.2 (type 1).
enum Offset : uint32_t {
  kVendorId = 0x00,
  kDeviceId = 0x02,
  kCommand = 0x04,
  kStatus = 0x06,
  kRevision = 0x08,
  kClassCode = 0x09,
  kHeaderType = 0x0e,
  kBar0 = 0x10,
  kPrimaryBus = 0x18,
  kSecondaryBus = 0x19,
  kSubordinateBus = 0x1a,
  kIoBase = 0x1c,
  kIoLimit = 0x1d,
  kSecondaryStatus = 0x1e,
  kMemoryBase = 0x20,
  kMemoryLimit = 0x22,
  kPrefetchBase = 0x24,
  kPrefetchLimit = 0x26,
  kPrefetchBaseUpper = 0x28,
  kPrefetchLimitUpper = 0x2c,
  kSubsystemVendorId = 0x2c,
  kSubsystemId = 0x2e,
  kIoBaseUpper = 0x30,
  kIoLimitUpper = 0x32,
  kCapabilities = 0x34,
  kInterruptLine = 0x3c,
  kInterruptPin = 0x3d,
  kBridgeControl = 0x3e,
  kHeaderEnd = 0x40,
  kConventionalEnd = 0x100,
};

// PCI 3.0 §6.2.2 and §6.2.3.
enum : uint16_t { kIoDecode = 1, kMemoryDecode = 2, kBusMaster = 4, kIntxDisable = 1 << 10 };
enum : uint16_t { kIntxStatus = 1 << 3, kHasCapabilities = 1 << 4 };

// Not synchronised: the host's lock is around every access of the guest's.
class ConfigSpace {
 public:
  static constexpr uint32_t kBytes = 4096;

  // The guest's accesses: `width` is 1, 2 or 4 and the access lies inside. A write changes the writable bits and clears
  // those that a written 1 clears.
  uint32_t read(uint32_t offset, uint32_t width) const;
  void write(uint32_t offset, uint32_t width, uint32_t value);

  uint8_t get8(uint32_t offset) const { return bytes_[offset]; }
  uint16_t get16(uint32_t offset) const { return static_cast<uint16_t>(read(offset, 2)); }
  uint32_t get32(uint32_t offset) const { return read(offset, 4); }
  const uint8_t* bytes() const { return bytes_.data(); }
  uint64_t get64(uint32_t offset) const { return get32(offset) | uint64_t{get32(offset + 4)} << 32; }
  void set8(uint32_t offset, uint8_t value) { bytes_[offset] = value; }
  void set16(uint32_t offset, uint16_t value) { put(offset, value); }
  void set32(uint32_t offset, uint32_t value) { put(offset, value); }
  void set_bits16(uint32_t offset, uint16_t mask, bool on) {
    set16(offset, static_cast<uint16_t>(on ? get16(offset) | mask : get16(offset) & ~mask));
  }

  // Which bits the guest may write, and which a written 1 clears.
  void writable(uint32_t offset, uint32_t width, uint32_t mask) { set_mask(writable_, offset, width, mask); }
  void write_1_clears(uint32_t offset, uint32_t width, uint32_t mask) { set_mask(clears_, offset, width, mask); }

  // Links a capability of `size` bytes, header included, into the list (PCI 3.0 §6.7) or the extended list (PCIe 5.0
  // §7.6.3) and returns its offset, or 0 when it has no room. The list keeps the order of the calls. `at` 0: where
  // there is room; else a multiple of 4.
  uint32_t add_capability(uint8_t id, uint32_t size, uint32_t at = 0);
  uint32_t add_extended_capability(uint16_t id, uint8_t version, uint32_t size, uint32_t at = 0);
  // Takes bytes for registers in no list. False where they are taken, or in the header.
  bool take(uint32_t at, uint32_t size);
  // The offset of the first one with this id, or 0.
  uint32_t find_capability(uint8_t id) const;

  // The state to go back to, and going back.
  void save() { saved_ = bytes_; }
  void restore() { bytes_ = saved_; }

 private:
  using Bytes = std::array<uint8_t, kBytes>;

  template <typename T>
  void put(uint32_t offset, T value) {
    std::memcpy(bytes_.data() + offset, &value, sizeof value);
  }
  static void set_mask(Bytes& masks, uint32_t offset, uint32_t width, uint32_t mask);

  Bytes bytes_{};
  Bytes writable_{};
  Bytes clears_{};
  Bytes saved_{};
  uint32_t place(uint32_t size, uint32_t at, uint32_t from, uint32_t end);

  std::bitset<kBytes / 4> taken_;  // by capabilities and registers, in units of 4 bytes
  uint32_t last_ = 0, last_extended_ = 0;
};

}  // namespace nacre::pci
