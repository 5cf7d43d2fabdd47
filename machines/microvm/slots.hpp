// The virtio-mmio slots of the microvm machine: which are taken, and how the kernel command line tells of them.
#pragma once

#include <nacre/abi/machine.h>

#include <bitset>
#include <nacre/result.hpp>
#include <string>

namespace nacre::microvm {

inline constexpr uint64_t kSlotsBase = 0xf0100000;
inline constexpr uint32_t kSlotStride = 0x200;
// Slot n has interrupt line 5 + n. The first 11 are ISA lines, which the MP table tells of; the rest, the IOAPIC's own
// 16 to 23, only ACPI can name.
inline constexpr uint32_t kSlots = 19;
inline constexpr uint32_t kFirstLine = 5;
inline constexpr uint32_t kIsaSlots = 11;
// The first slots are replaceable ones, of disks and then of NICs; the others take what the command line names.
inline constexpr uint32_t kDiskSlots = 6;
inline constexpr uint32_t kNicSlots = 2;
inline constexpr uint32_t kReplaceableSlots = kDiskSlots + kNicSlots;
inline constexpr const char* kDiskDriver = "virtio-blk-device";
inline constexpr const char* kNicDriver = "virtio-net-device";

// Owned by the machine; [main].
class Slots {
 public:
  explicit Slots(uint32_t usable = kSlots) : usable_(usable) {}

  // A vacant device is in replaceable slot `slot` now, so that the guest finds it.
  void offer(uint32_t slot) { offered_.set(slot); }

  // Gives a virtio device its slot: a disk or NIC the one that `addr` (the slot) or `lun` (the slot before it) names,
  // or the lowest vacant one; any other device the lowest free one behind those. Leaves devices alone that choose their
  // own ports (buses "isa" and "mmio"). Fails when there is no such slot or it is occupied, for devices of a bus that
  // this machine has not got, and for what comes to a running guest and is neither disk nor NIC.
  sdk::Status place(const nacre_device_desc& device, nacre_placement& placement);
  // Frees the slot of a placement that place() has made.
  void displace(const nacre_placement& placement);

  // The guest finds a device there when it boots.
  bool shown(uint32_t slot) const { return taken_[slot] || offered_[slot]; }
  static uint64_t base(uint32_t slot) { return kSlotsBase + uint64_t{slot} * kSlotStride; }
  static uint32_t line(uint32_t slot) { return kFirstLine + slot; }

  // Returns " virtio_mmio.device=512@0x<base>:<line>" for each slot that is shown, ascending (Linux
  // Documentation/admin-guide/kernel-parameters.txt, "virtio_mmio.device"), or "".
  std::string command_line() const;

 private:
  // A kind of device with replaceable slots of its own.
  struct Kind {
    const char* driver;
    const char* word;
    uint32_t first, count;
  };
  static constexpr Kind kKinds[] = {{kDiskDriver, "block", 0, kDiskSlots}, {kNicDriver, "net", kDiskSlots, kNicSlots}};

  sdk::Result<uint32_t> replaceable_slot(const nacre_device_desc& device, const Kind& kind) const;
  sdk::Result<uint32_t> other_slot(const nacre_device_desc& device) const;

  uint32_t usable_;
  std::bitset<kSlots> taken_;
  std::bitset<kSlots> offered_;
};

}  // namespace nacre::microvm
