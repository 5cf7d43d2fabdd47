#include "core/virtio/pci_function.hpp"

namespace nacre::virtio {
namespace {

constexpr uint16_t kVirtioVendor = 0x1af4;
constexpr uint16_t kFirstDevice = 0x1040;  // §4.1.2.1
constexpr uint8_t kVendorSpecific = 0x09;

// §4.1.4 cfg_type.
enum : uint8_t { kCommonCfg = 1, kNotifyCfg = 2, kIsrCfg = 3, kDeviceCfg = 4, kPciCfg = 5 };
// Offsets in a capability.
enum : uint32_t { kType = 3, kBar = 4, kOffset = 8, kLength = 12, kMultiplier = 16, kData = 16 };

constexpr uint32_t kCapBytes = 16;

uint32_t class_of(uint32_t device_id) {
  switch (device_id) {
    case 1:  // net
      return 0x028000;
    case 2:  // block
    case 8:  // SCSI
      return 0x010000;
    case 3:   // console
    case 19:  // vsock
      return 0x078000;
    case 16:  // GPU
      return 0x030000;
    case 26:  // file system
      return 0x018000;
    default:
      return 0x00ff00;
  }
}

pci::Identity identity_of(const VirtioDevice& device) {
  return {kVirtioVendor,
          static_cast<uint16_t>(kFirstDevice + device.device_id()),
          1,
          class_of(device.device_id()),
          kVirtioVendor,
          0x40};
}

}  // namespace

PciTransport::Function::Function(PciTransport& transport)
    : PciFunction(transport.owner_.name(), identity_of(transport.owner_)), transport_(transport) {}

uint32_t PciTransport::Function::add_part(uint8_t type, uint32_t bytes, uint32_t part) {
  const uint32_t at = config().add_capability(kVendorSpecific, bytes);
  config().set8(at + 2, static_cast<uint8_t>(bytes));
  config().set8(at + kType, type);
  if (type == kPciCfg) return at;
  config().set8(at + kBar, kMemoryBar);
  config().set32(at + kOffset, part * kPartBytes);
  config().set32(at + kLength, kPartBytes);
  return at;
}

Status PciTransport::Function::build(uint32_t vectors) {
  static constexpr auto read = [](void* self, uint64_t offset, uint32_t width) noexcept -> uint64_t {
    return static_cast<PciTransport*>(self)->read(offset, width);
  };
  static constexpr auto write = [](void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    static_cast<PciTransport*>(self)->write(offset, width, value);
  };
  const nacre_mmio_ops ops{sizeof ops, 0, read, write};
  add_part(kCommonCfg, kCapBytes, kCommon);
  add_part(kIsrCfg, kCapBytes, kIsr);
  add_part(kDeviceCfg, kCapBytes, kDevice);
  const uint32_t notify = add_part(kNotifyCfg, kCapBytes + 4, kNotify);
  config().set32(notify + kMultiplier, 4);
  // §4.1.4.9: a window into any BAR, for who cannot reach them.
  access_ = add_part(kPciCfg, kCapBytes + 4, 0);
  config().writable(access_ + kBar, 1, 0xff);
  config().writable(access_ + kOffset, 4, UINT32_MAX);
  config().writable(access_ + kLength, 4, UINT32_MAX);
  config().writable(access_ + kData, 4, UINT32_MAX);
  if (Status added = add_msix(vectors, kMsixBar, transport_.host_.messages()); !added) return added;
  if (!add_express(0)) return fail("{} has no room for another capability.", name());
  add_intx();
  return add_bar(kMemoryBar, pci::BarKind::Memory64, false, 4 * kPartBytes, ops, &transport_);
}

// What the access capability points at: nothing for a length or alignment that §4.1.4.9.1 forbids.
std::optional<PciTransport::Function::Window> PciTransport::Function::window() const {
  auto& c = const_cast<Function*>(this)->config();
  const uint32_t index = c.get8(access_ + kBar), offset = c.get32(access_ + kOffset),
                 length = c.get32(access_ + kLength);
  if (index >= kBars || !bar(index).ops.read || (length != 1 && length != 2 && length != 4) || offset % length ||
      offset > bar(index).bytes - length)
    return {};
  return Window{&bar(index), offset, length};
}

bool PciTransport::Function::touches_data(uint32_t offset, uint32_t width) const {
  return offset < access_ + kData + 4 && offset + width > access_ + kData;
}

uint32_t PciTransport::Function::read_config(uint32_t offset, uint32_t width) {
  if (touches_data(offset, width))
    if (auto to = window())
      config().set32(access_ + kData,
                     static_cast<uint32_t>(to->bar->ops.read(to->bar->opaque, to->offset, to->length)));
  return PciFunction::read_config(offset, width);
}

void PciTransport::Function::write_config(uint32_t offset, uint32_t width, uint32_t value) {
  PciFunction::write_config(offset, width, value);
  if (!touches_data(offset, width)) return;
  if (auto to = window()) to->bar->ops.write(to->bar->opaque, to->offset, to->length, config().get32(access_ + kData));
}

void PciTransport::Function::reset() {
  transport_.bus_is_reset();
  PciFunction::reset();
}

void PciTransport::Function::bar_moved(uint32_t index, std::optional<uint64_t> base) {
  if (index == kMemoryBar) transport_.move_notifications(base);
}

}  // namespace nacre::virtio
