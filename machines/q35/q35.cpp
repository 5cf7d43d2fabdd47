// q35: a standard PC with PCI Express and ACPI, booted directly from a kernel file or by firmware in flash.
#include <cpuid.h>

#include <algorithm>
#include <nacre/machine.hpp>
#include <string>

#include "machines/common/acpi_numa.hpp"
#include "machines/common/direct_boot.hpp"
#include "machines/common/keyboard_port.hpp"
#include "machines/common/x86_machine.hpp"
#include "machines/q35/chipset.hpp"
#include "machines/q35/cpu_controller.hpp"
#include "machines/q35/firmware.hpp"

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
// Firmware chooses places for BARs by itself, as on QEMU's machine: below 4 GiB up to the IOAPIC, and above
// anywhere.
constexpr uint32_t kFirmwareWindowLength = 0x3ec00000;

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

// The same where firmware places BARs: all that RAM leaves.
Window firmware_window(const machine::RamLayout& ram) {
  const Window window = high_window(ram);
  const uint64_t base = (ram.high_end + machine::kGiB - 1) / machine::kGiB * machine::kGiB;
  const uint64_t end = window.base + window.length;
  return end > base ? Window{base, end - base} : Window{};
}

class Q35 : public machine::X86Machine {
 public:
  static constexpr const char* kCpuDriver = "generic-x86-cpu";

  Q35(nacre_instance* instance, const nacre_machine_config& config)
      : X86Machine(instance, config, kGap),
        firmware_(instance, config),
        window_{kWindow, firmware_.present() ? kFirmwareWindowLength : kWindowLength},
        high_window_(firmware_.present() ? firmware_window(ram()) : high_window(ram())),
        cpus_(instance, config.vcpus, config.max_vcpus) {}

  Status layout(nacre_error* slot) override {
    // First what the user may have got wrong.
    if (Status opened = firmware_.present() ? firmware_.open() : kernel_.open(config(), ram(), "q35"); !opened)
      return opened;
    return lay_out_ram(slot);
  }

  Status build(nacre_error* slot) override {
    Status made = add_pci(slot);
    if (made) made = cpus_.claim(slot);
    if (made) made = keyboard_port_.claim(instance(), machine::KeyboardPort::ResetLine::kMachine, slot);
    if (made) made = add_serial(slot);
    if (made)
      made = add_device("acpi-power", "machine-power",
                        "iobase=" + machine::hex(kPowerPorts) + ",irq=" + std::to_string(kPowerLine), slot);
    if (made)
      made = add_device("mc146818rtc", "machine-clock",
                        "low-ram=" + std::to_string(ram().low_end) +
                            ",high-ram=" + std::to_string(ram().high_end - 4 * machine::kGiB),
                        slot);
    if (made && firmware_.present())
      made = firmware_.build([&](const char* driver, const char* id,
                                 const std::string& properties) { return add_device(driver, id, properties, slot); },
                             slot);
    return made;
  }

  Status place(const nacre_device_desc& device, nacre_placement& placement) override {
    const std::string_view bus = device.bus ? device.bus : "";
    if (bus == "cpu" && config().ram->n_nodes)
      return fail("Not support to hotplug/hotunplug cpu in numa architecture now.");
    if (bus == "cpu") return cpus_.place(device, placement);
    placement.kind = bus == "pci" ? NACRE_PLACE_PCI : NACRE_PLACE_NONE;
    if (device.port) ++bridges_;
    if (bus == "pci" || bus == "isa" || bus == "mmio") return {};
    const std::string_view driver = device.driver;
    const std::string base(driver.substr(0, driver.size() - (driver.ends_with("-device") ? 7 : 0)));
    return fail("the q35 machine takes its virtio devices on PCI; write ", base, "-pci.");
  }
  void displace(const nacre_placement& placement) override {
    if (placement.kind == NACRE_PLACE_CPU) cpus_.displace(placement.slot);
  }
  void cpu_changed(uint32_t index, bool plugged) override { cpus_.changed(index, plugged); }
  bool cpu_leaving(uint32_t index) override { return cpus_.leaving(index); }

  Status boot(nacre_error* slot) override {
    const std::vector<bool> present = cpus_.begin_boot();
    if (firmware_.present()) return firmware_.boot(describe(present), ram(), slot);
    machine::DirectBootPlan plan{
        .command_line = config().append,
        .ram = ram(),
        .reserved = {{kEcam, kEcamLength, machine::RangeType::kReserved}},
        .vcpus = config().vcpus,
        .reset_port = kPowerPorts + 2,
        .write_acpi = [&](const sdk::MemoryView& memory) { return machine::write_acpi(describe(present), memory); },
        .smbios = machine::smbios_files(config())};
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
    pci.memory32_base = window_.base;
    pci.memory32_length = window_.length;
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

  machine::AcpiMachine describe(const std::vector<bool>& present) const {
    machine::AcpiMachine description;
    description.name = "Q35";
    description.vcpus = config().vcpus;
    if (config().max_vcpus > config().vcpus)
      description.cpu_hotplug = {CpuController::kEvents, CpuController::kController, CpuController::kLine, present};
    description.power = {kPowerPorts, kPowerPorts + 1, kPowerPorts + 2, kPowerLine};
    if (firmware_.present()) description.fixed = PowerBlock::kFixed;
    if (config().serial_chardev) description.serial = {machine::kSerialPorts, machine::kSerialLine};
    description.clock = true;
    description.pci = {kEcam,
                       last_bus(),
                       kWindow,
                       static_cast<uint32_t>(window_.length),
                       high_window_.base,
                       high_window_.length,
                       kFirstPciLine};
    if (config().ram->n_nodes) description.pci->node = config().ram->nodes[0].id;
    description.numa = machine::numa_of(config(), ram());
    return description;
  }

  // Linux looks for devices on every bus that it is told of, by ports and at some 0.4 ms a bus: it is told of one for
  // each root port, and of a few more.
  uint8_t last_bus() const { return static_cast<uint8_t>(std::min(kSpareBuses + bridges_, kEcamBuses - 1)); }

  Firmware firmware_;
  const Window window_;  // for BARs below 4 GiB
  const Window high_window_;
  uint32_t bridges_ = 0;
  Chipset chipset_;
  CpuController cpus_;
  machine::KeyboardPort keyboard_port_;
  machine::DirectBoot kernel_;
};

constexpr nacre_type kType =
    sdk::machine_type<Q35>("q35", "a standard PC with PCI Express, ACPI and direct kernel boot");

}  // namespace
}  // namespace nacre::q35

NACRE_PLUGIN(&nacre::q35::kType);
