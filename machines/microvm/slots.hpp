// The virtio-mmio slots of the microvm machine: which are taken, and how the kernel command line tells of them.
#pragma once

#include <nacre/abi/machine.h>

#include <bitset>
#include <nacre/result.hpp>
#include <string>

namespace nacre::microvm {

inline constexpr uint64_t kSlotsBase = 0xf0100000;
inline constexpr uint32_t kSlotStride = 0x200;
inline constexpr uint32_t kSlots = 19;
// Slot n has interrupt line 5 + n. The first 11 are ISA lines, which the MP table tells of; the rest, the IOAPIC's own
// 16 to 23, only ACPI can name.
inline constexpr uint32_t kFirstLine = 5;
inline constexpr uint32_t kIsaSlots = 11;

// Owned by the machine; [main].
class Slots {
 public:
  explicit Slots(uint32_t usable = kSlots) : usable_(usable) {}

  // Gives a virtio device the lowest free slot; leaves devices alone that choose their own ports (buses "isa" and
  // "mmio"). Fails when no slot is free, and for devices of a bus that this machine has not got.
  sdk::Status place(const nacre_device_desc& device, nacre_placement& placement);
  // Frees the slot of a placement that place() has made.
  void displace(const nacre_placement& placement);

  bool taken(uint32_t slot) const { return taken_[slot]; }
  static uint64_t base(uint32_t slot) { return kSlotsBase + uint64_t{slot} * kSlotStride; }
  static uint32_t line(uint32_t slot) { return kFirstLine + slot; }

  // Returns " virtio_mmio.device=512@0x<base>:<line>" for each taken slot, ascending (Linux
  // Documentation/admin-guide/kernel-parameters.txt, "virtio_mmio.device"), or "".
  std::string command_line() const;

 private:
  uint32_t usable_;
  std::bitset<kSlots> taken_;
};

}  // namespace nacre::microvm
