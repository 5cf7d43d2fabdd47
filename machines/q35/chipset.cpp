#include "machines/q35/chipset.hpp"

#include <array>
#include <cstring>

namespace nacre::q35 {
namespace {

using sdk::ErrorSlot;
using sdk::host;
using sdk::Status;
using ConfigBytes = std::array<uint8_t, 256>;

constexpr uint16_t kIntel = 0x8086;
constexpr uint32_t kHeaderBytes = 0x40;

void put(ConfigBytes& bytes, size_t offset, uint64_t value, size_t width) {
  std::memcpy(bytes.data() + offset, &value, width);
}

// The PCI Express register range base address (PCIEXBAR): bit 0 enables, bits 2:1 tell the length, to which the
// base is aligned.
constexpr size_t kEcamRegister = 0x60;
constexpr uint64_t kEcamEnabled = 1, kEcamLength = 6, kEcamBase = 0xffc000000;

// The programmable attribute maps (§5.1.31): firmware opens the RAM below 1 MiB with them before it writes there. All
// of it is RAM always, so they only remember.
constexpr size_t kAttributeMaps = 0x90, kAttributeMapsLength = 7;

// LPC: where the power management block is, and that it is on.
constexpr size_t kPowerBase = 0x40, kAcpiControl = 0x44;
constexpr uint8_t kAcpiOn = 0x80;

// A function with registers from 0x40 on and nothing else: no BARs, no interrupts. Others may follow in its slot but
// for slot 0.
Status place(nacre_instance* machine, const nacre_pci_desc& desc, uint8_t devfn, const ConfigBytes& content,
             const ConfigBytes& writable, nacre_error* slot) {
  nacre_pci* function = nullptr;
  nacre_pci_capability registers{};
  registers.size = sizeof registers;
  registers.kind = NACRE_PCI_REGISTERS;
  registers.offset = kHeaderBytes;
  registers.length = static_cast<uint32_t>(content.size() - kHeaderBytes);
  registers.content = content.data() + kHeaderBytes;
  registers.writable = writable.data() + kHeaderBytes;
  auto step = [&](auto call) { return ErrorSlot::wrap(slot, "a function of the chipset cannot be made", call); };
  Status done = step([&](nacre_error* error) { return host.pci->attach(machine, &desc, machine, &function, error); });
  if (done) done = step([&](nacre_error* error) { return host.pci->capability(function, &registers, nullptr, error); });
  if (done)
    done =
        step([&](nacre_error* error) { return host.machine->pci_place(machine, function, devfn, devfn != 0, error); });
  return done;
}

}  // namespace

void Chipset::on_host_bridge(void* machine, const uint8_t* config, uint32_t offset, uint32_t width) noexcept {
  if (offset >= kEcamRegister + 8 || offset + width <= kEcamRegister) return;
  uint64_t value;
  std::memcpy(&value, config + kEcamRegister, sizeof value);
  constexpr uint32_t kBuses[] = {256, 128, 64, 0};  // the last is reserved
  const uint32_t buses = value & kEcamEnabled ? kBuses[(value & kEcamLength) >> 1] : 0;
  const uint64_t length = uint64_t{buses} << 20;
  const uint64_t base = length ? (value & kEcamBase) / length * length : 0;
  host.machine->pci_ecam(static_cast<nacre_instance*>(machine), base, buses);
}

uint64_t Chipset::read_reset_port(void*, uint64_t, uint32_t) noexcept {
  return 0;
}

void Chipset::write_reset_port(void* machine, uint64_t offset, uint32_t width, uint64_t value) noexcept {
  constexpr uint64_t kResetProcessor = 1 << 2;
  if (offset == 1 && width == 1 && (value & kResetProcessor))
    host.lifecycle->request(static_cast<nacre_instance*>(machine), NACRE_REQUEST_RESET);
}

Status Chipset::add(nacre_instance* machine, nacre_error* slot) {
  ConfigBytes content{}, writable{};
  put(content, kEcamRegister, kEcam | kEcamEnabled, 8);
  put(writable, kEcamRegister, kEcamEnabled | kEcamLength | kEcamBase, 8);
  for (size_t i = 0; i < kAttributeMapsLength; ++i) put(writable, kAttributeMaps + i, 0x33, 1);
  static constexpr nacre_pci_ops kHostBridgeOps{sizeof(nacre_pci_ops), 0, on_host_bridge};
  nacre_pci_desc host_bridge{};
  host_bridge.size = sizeof host_bridge;
  host_bridge.vendor_id = kIntel;
  host_bridge.device_id = 0x29c0;
  host_bridge.class_code = 0x060000;
  host_bridge.name = "the host bridge";
  host_bridge.ops = &kHostBridgeOps;
  if (Status added = place(machine, host_bridge, 0, content, writable, slot); !added) return added;

  content = writable = {};
  put(content, kPowerBase, PowerBlock::kBase | 1, 4);  // bit 0: in I/O space
  put(content, kAcpiControl, kAcpiOn, 1);
  nacre_pci_desc lpc{};
  lpc.size = sizeof lpc;
  lpc.revision = 2;
  lpc.vendor_id = kIntel;
  lpc.device_id = 0x2918;
  lpc.class_code = 0x060100;
  lpc.name = "the LPC bridge";
  if (Status added = place(machine, lpc, 0x1f << 3, content, writable, slot); !added) return added;
  return power_block_.claim(machine, slot);
}

}  // namespace nacre::q35
