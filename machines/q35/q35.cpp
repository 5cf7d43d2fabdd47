// q35: a standard PC with PCI Express and ACPI, booted directly from a kernel file.
#include <cpuid.h>

#include <algorithm>
#include <nacre/machine.hpp>
#include <string>

#include "machines/common/acpi.hpp"
#include "machines/common/direct_boot.hpp"
#include "machines/common/keyboard_port.hpp"
#include "machines/common/x86_machine.hpp"
#include "machines/q35/chipset.hpp"

namespace nacre::q35 {
namespace {

using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Status;

// Guest-physical addresses.
constexpr uint64_t kGap = 0x80000000;  // RAM that does not fit below goes on at 4 GiB
constexpr uint64_t kEcamLength = uint64_t{kEcamBuses} << 20;
constexpr uint32_t kSpareBuses = 7;
constexpr uint32_t kWindow = 0xc0000000;
constexpr uint32_t kWindowLength = 0x30000000;

// Ports and lines of the machine's own devices.
constexpr uint16_t kPowerPorts = 0xce9;  // sleep control, sleep status, reset
constexpr uint32_t kPowerLine = 5;
constexpr uint32_t kFirstPciLine = 16;      // to 19
constexpr uint32_t kFirstPciPort = 0x1000;  // ports below are the board's own

struct Window {
  uint64_t base = 0;
  uint64_t length = 0;
};

// For BARs above 4 GiB: the last quarter of what the processor can address, of its first TiB at most (a guest sees the
// host's address width), or above more RAM than that. Empty where RAM takes all.
Window high_window(const machine::RamLayout& ram) {
  constexpr uint32_t kAddressWidths = 0x80000008;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  const uint32_t bits = __get_cpuid(kAddressWidths, &eax, &ebx, &ecx, &edx) ? eax & 0xff : 36;
  const uint64_t end = uint64_t{1} << std::min(bits, 40u);
  const Window window{end - end / 4, end / 4};
  if (ram.high_end <= window.base) return window;
  const uint64_t above = (ram.high_end + window.length - 1) / window.length * window.length;
  return above + window.length <= uint64_t{1} << std::min(bits, 52u) ? Window{above, window.length} : Window{};
}

class Q35 : public machine::X86Machine {
 public:
  Q35(nacre_instance* instance, const nacre_machine_config& config)
      : X86Machine(instance, config, kGap), high_window_(high_window(ram())) {}

  Status layout(nacre_error* slot) override {
    // First what the user may have got wrong.
    if (Status opened = kernel_.open(config(), ram(), "q35"); !opened) return opened;
    return lay_out(slot);
  }

  Status build(nacre_error* slot) override {
    Status made = add_pci(slot);
    if (made) made = keyboard_port_.claim(instance(), slot);
    if (made) made = add_serial(slot);
    if (made)
      made = add_device("acpi-power", "machine-power",
                        "iobase=" + machine::hex(kPowerPorts) + ",irq=" + std::to_string(kPowerLine), slot);
    if (made)
      made = add_device("mc146818rtc", "machine-clock",
                        "low-ram=" + std::to_string(ram().low_end) +
                            ",high-ram=" + std::to_string(ram().high_end - 4 * machine::kGiB),
                        slot);
    return made;
  }

  Status place(const nacre_device_desc& device, nacre_placement& placement) override {
    const std::string_view bus = device.bus ? device.bus : "";
    placement.kind = bus == "pci" ? NACRE_PLACE_PCI : NACRE_PLACE_NONE;
    if (bus == "pci" && device.virtio_device_id == 0) ++bridges_;
    if (bus == "pci" || bus == "isa" || bus == "mmio") return {};
    const std::string_view driver = device.driver;
    const std::string base(driver.substr(0, driver.size() - (driver.ends_with("-device") ? 7 : 0)));
    return fail("the q35 machine takes its virtio devices on PCI; write ", base, "-pci.");
  }
  void displace(const nacre_placement&) override {}

  Status boot(nacre_error* slot) override {
    machine::DirectBootPlan plan{
        .command_line = config().append,
        .ram = ram(),
        .reserved = {{kEcam, kEcamLength, machine::RangeType::kReserved}},
        .vcpus = config().vcpus,
        .reset_port = kPowerPorts + 2,
        .write_acpi = [this](const sdk::MemoryView& memory) { return machine::write_acpi(describe(), memory); }};
    return kernel_.boot(instance(), plan, slot);
  }

 private:
  Status add_pci(nacre_error* slot) {
    nacre_pci_host pci{};
    pci.size = sizeof pci;
    pci.flags = NACRE_PCI_CONFIG_PORTS;
    pci.ecam_base = kEcam;
    pci.ecam_buses = kEcamBuses;
    pci.first_gsi = kFirstPciLine;
    pci.memory32_base = kWindow;
    pci.memory32_length = kWindowLength;
    pci.memory64_base = high_window_.base;
    pci.memory64_length = high_window_.length;
    pci.io_base = kFirstPciPort;
    pci.io_length = 0x10000 - kFirstPciPort;
    pci.port_read = Chipset::read_reset_port;
    pci.port_write = Chipset::write_reset_port;
    pci.port_opaque = instance();
    Status made = ErrorSlot::wrap(slot, "the PCI host cannot be made",
                                  [&](nacre_error* error) { return host.machine->pci_host(instance(), &pci, error); });
    return made ? chipset_.add(instance(), slot) : made;
  }

  machine::AcpiMachine describe() const {
    machine::AcpiMachine description;
    description.name = "Q35";
    description.vcpus = config().vcpus;
    description.power = {kPowerPorts, kPowerPorts + 1, kPowerPorts + 2, kPowerLine};
    if (config().serial_chardev) description.serial = {machine::kSerialPorts, machine::kSerialLine};
    description.clock = true;
    description.pci = {kEcam,        last_bus(), kWindow, kWindowLength, high_window_.base, high_window_.length,
                       kFirstPciLine};
    return description;
  }

  // Linux looks for devices on every bus that it is told of, by ports and at some 0.4 ms a bus: it is told of one for
  // each device that may be a bridge, and of a few more.
  uint8_t last_bus() const { return static_cast<uint8_t>(std::min(kSpareBuses + bridges_, kEcamBuses - 1)); }

  const Window high_window_;
  uint32_t bridges_ = 0;  // devices that may be one: all but virtio's
  Chipset chipset_;
  machine::KeyboardPort keyboard_port_;
  machine::DirectBoot kernel_;
};

constexpr nacre_type kType =
    sdk::machine_type<Q35>("q35", "a standard PC with PCI Express, ACPI and direct kernel boot");

}  // namespace
}  // namespace nacre::q35

NACRE_PLUGIN(&nacre::q35::kType);
