#include "machines/microvm/slots.hpp"

#include <charconv>
#include <string_view>

namespace nacre::microvm {

using sdk::fail;

sdk::Status Slots::place(const nacre_device_desc& device, nacre_placement& placement) {
  const std::string_view bus = device.bus ? device.bus : "";
  placement.kind = NACRE_PLACE_NONE;
  if (bus == "isa" || bus == "mmio") return {};
  if (device.virtio_device_id == 0 || bus != "virtio")
    return fail("the microvm machine has no ", bus, " bus for a '", device.driver ? device.driver : "",
                "'; it takes virtio devices (such as virtio-blk-device) and those of the isa bus.");
  for (uint32_t slot = 0; slot < usable_; ++slot) {
    if (taken_[slot]) continue;
    taken_.set(slot);
    placement.kind = NACRE_PLACE_VIRTIO_MMIO;
    placement.base = base(slot);
    placement.gsi = line(slot);
    placement.slot = slot;
    return {};
  }
  sdk::Error full = fail("the microvm machine has no free virtio-mmio slot: all ", std::to_string(usable_),
                         " interrupt lines for them are taken; remove a device");
  full.code = NACRE_BUSY;
  full.message += usable_ < kSlots ? ", or use acpi=on, which has " + std::to_string(kSlots) + "." : ".";
  return full;
}

void Slots::displace(const nacre_placement& placement) {
  if (placement.kind == NACRE_PLACE_VIRTIO_MMIO && placement.slot < kSlots) taken_.reset(placement.slot);
}

std::string Slots::command_line() const {
  std::string text;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (!taken_[slot]) continue;
    char digits[8];  // the bases lie between 256 MiB and 4 GiB, so there are always eight
    std::to_chars(digits, digits + sizeof digits, base(slot), 16);
    text += " virtio_mmio.device=512@0x" + std::string(digits, sizeof digits) + ":" + std::to_string(line(slot));
  }
  return text;
}

}  // namespace nacre::microvm
