#include "machines/microvm/slots.hpp"

#include <charconv>
#include <optional>
#include <string_view>

namespace nacre::microvm {
namespace {

using sdk::fail;

sdk::Error busy(const std::string& message) {
  sdk::Error error = fail(message);
  error.code = NACRE_BUSY;
  return error;
}

// Decimal, or hexadecimal after 0x.
std::optional<uint32_t> number(std::string_view text) {
  const int base = text.starts_with("0x") || text.starts_with("0X") ? 16 : 10;
  if (base == 16) text.remove_prefix(2);
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

sdk::Status Slots::place(const nacre_device_desc& device, nacre_placement& placement) {
  const std::string_view bus = device.bus ? device.bus : "";
  placement.kind = NACRE_PLACE_NONE;
  if (bus == "isa" || bus == "mmio") return {};
  if (device.virtio_device_id == 0 || bus != "virtio")
    return fail("the microvm machine has no ", bus, " bus for a '", device.driver ? device.driver : "",
                "'; it takes virtio devices (such as virtio-blk-device) and those of the isa bus.");
  if (device.bus_id || (!device.hot && device.addr))
    return fail("Should not set bus: the microvm machine has none that a device could choose; leave ",
                device.bus_id ? "bus=" : "addr=", " out.");
  sdk::Result<uint32_t> slot = other_slot(device);
  for (const Kind& kind : kKinds)
    if (std::string_view(device.driver) == kind.driver && offered_[kind.first]) slot = replaceable_slot(device, kind);
  if (!slot) return slot.error();
  taken_.set(*slot);
  placement.kind = NACRE_PLACE_VIRTIO_MMIO;
  placement.base = base(*slot);
  placement.gsi = line(*slot);
  placement.slot = *slot;
  return {};
}

sdk::Result<uint32_t> Slots::replaceable_slot(const nacre_device_desc& device, const Kind& kind) const {
  // StratoVirt's users name a device as they name its back end, and device_del takes both away.
  if (device.hot && (!device.backend || std::string_view(device.backend) != device.id))
    return fail("its id '", device.id, "' and that of its back end '", device.backend ? device.backend : "",
                "' must be the same on the microvm machine; give both one name.");
  std::optional<uint32_t> wanted;
  if (device.addr || device.lun) {
    wanted = number(device.addr ? device.addr : device.lun);
    if (!wanted)
      return fail("Invalid addr for device ", device.id, ": '", device.addr ? device.addr : device.lun,
                  "' is no number; write the slot, 0 to ", std::to_string(kind.count - 1), ".");
    const uint64_t slot = uint64_t{*wanted} + (device.addr ? 0 : 1);
    if (slot >= kind.count)
      return fail("A maximum of ", std::to_string(kind.count), " ", kind.word,
                  " replaceable devices are supported: there is no slot ", std::to_string(slot), ".");
    wanted = static_cast<uint32_t>(slot);
    if (taken_[kind.first + *wanted]) return busy("The slot " + std::to_string(*wanted) + " is occupied already.");
    return kind.first + *wanted;
  }
  for (uint32_t slot = kind.first; slot < kind.first + kind.count; ++slot)
    if (!taken_[slot]) return slot;
  return busy("A maximum of " + std::to_string(kind.count) + " " + kind.word +
              " replaceable devices are supported, and all slots are occupied; take one away first.");
}

sdk::Result<uint32_t> Slots::other_slot(const nacre_device_desc& device) const {
  if (device.hot)
    return fail(
        "the microvm machine takes only disks (virtio-blk-device) and NICs (virtio-net-device) while the guest runs; "
        "name this one on the command line.");
  for (uint32_t slot = kReplaceableSlots; slot < kSlots; ++slot)
    if (!taken_[slot]) return slot;
  return busy("the microvm machine has no free virtio-mmio slot: all " + std::to_string(kSlots - kReplaceableSlots) +
              " beside the " + std::to_string(kDiskSlots) + " of disks and " + std::to_string(kNicSlots) +
              " of NICs are taken; leave a device out.");
}

void Slots::displace(const nacre_placement& placement) {
  if (placement.kind == NACRE_PLACE_VIRTIO_MMIO && placement.slot < kSlots) taken_.reset(placement.slot);
}

std::string Slots::command_line() const {
  std::string text;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (!shown(slot)) continue;
    char digits[8];  // the bases lie between 256 MiB and 4 GiB, so there are always eight
    std::to_chars(digits, digits + sizeof digits, base(slot), 16);
    text += " virtio_mmio.device=512@0x" + std::string(digits, sizeof digits) + ":" + std::to_string(line(slot));
  }
  return text;
}

}  // namespace nacre::microvm
