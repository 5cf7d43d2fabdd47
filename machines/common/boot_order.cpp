#include "machines/common/boot_order.hpp"

#include <utility>

namespace nacre::machine {
namespace {

constexpr uint32_t kVirtioBlock = 2;  // virtio 1.2 §5.2.1

// "/name@slot", or "/name@slot,function" where that is not 0; hexadecimal.
std::string node(const char* name, uint8_t devfn) {
  constexpr char kDigits[] = "0123456789abcdef";
  const unsigned slot = devfn >> 3, function = devfn & 7;
  std::string text = std::string("/") + name + '@';
  if (slot > 0xf) text += kDigits[slot >> 4];
  text += kDigits[slot & 0xf];
  if (function) text += {',', kDigits[function]};
  return text;
}

}  // namespace

void BootOrder::add(const nacre_boot_device& device) {
  // Firmware starts from disks. A virtio disk is written as the only one of a SCSI controller.
  if (device.virtio_device_id != kVirtioBlock) return;
  if (!lines_.empty()) lines_ += '\n';
  lines_ += "/pci@i0cf8";
  for (uint32_t i = 0; i + 1 < device.path_length; ++i) lines_ += node("pci-bridge", device.path[i]);
  lines_ += node("scsi", device.path[device.path_length - 1]) + "/disk@0,0";
}

Bytes BootOrder::take() {
  Bytes content(lines_.begin(), lines_.end());
  if (!content.empty()) content.push_back(0);
  lines_.clear();
  return content;
}

Bytes boot_order(nacre_instance* machine) {
  BootOrder order;
  sdk::host.machine->boot_devices(
      machine, [](void* to, const nacre_boot_device* device) noexcept { static_cast<BootOrder*>(to)->add(*device); },
      &order);
  return order.take();
}

}  // namespace nacre::machine
