// q35: a standard PC with PCI Express and ACPI, booted directly from a kernel file.
#include <nacre/machine.hpp>
#include <string>

#include "machines/common/acpi.hpp"
#include "machines/common/direct_boot.hpp"
#include "machines/common/keyboard_port.hpp"
#include "machines/common/x86_machine.hpp"

namespace nacre::q35 {
namespace {

using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Status;

// Guest-physical addresses.
constexpr uint64_t kGap = 0x80000000;  // RAM that does not fit below goes on at 4 GiB
constexpr uint64_t kEcam = 0xb0000000;
constexpr uint8_t kLastBus = 255;
constexpr uint64_t kEcamLength = (uint64_t{kLastBus} + 1) << 20;
constexpr uint32_t kWindow = 0xc0000000;
constexpr uint32_t kWindowLength = 0x30000000;
constexpr uint64_t kHighWindowLength = 512 * machine::kGiB;

// Ports and lines of the machine's own devices.
constexpr uint16_t kPowerPorts = 0xce9;  // sleep control, sleep status, reset
constexpr uint32_t kPowerLine = 5;
constexpr uint32_t kFirstPciLine = 16;  // to 19

class Q35 : public machine::X86Machine {
 public:
  Q35(nacre_instance* instance, const nacre_machine_config& config) : X86Machine(instance, config, kGap) {}

  Status layout(nacre_error* slot) override {
    // First what the user may have got wrong.
    if (Status opened = kernel_.open(config(), ram(), "q35"); !opened) return opened;
    return lay_out(slot);
  }

  Status build(nacre_error* slot) override {
    Status made = keyboard_port_.claim(instance(), slot);
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
    placement.kind = NACRE_PLACE_NONE;
    return fail("the q35 machine has no bus for a '", device.driver, "'.");
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
  // Above all RAM, aligned to its size so that a large BAR fits.
  uint64_t high_window() const {
    return (ram().high_end + kHighWindowLength - 1) / kHighWindowLength * kHighWindowLength;
  }

  machine::AcpiMachine describe() const {
    machine::AcpiMachine description;
    description.name = "Q35";
    description.vcpus = config().vcpus;
    description.power = {kPowerPorts, kPowerPorts + 1, kPowerPorts + 2, kPowerLine};
    if (config().serial_chardev) description.serial = {machine::kSerialPorts, machine::kSerialLine};
    description.clock = true;
    description.pci = {kEcam, kLastBus, kWindow, kWindowLength, high_window(), kHighWindowLength, kFirstPciLine};
    return description;
  }

  machine::KeyboardPort keyboard_port_;
  machine::DirectBoot kernel_;
};

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_BOOL, .name = "acpi", .help = "describe the machine by ACPI tables", .default_text = "on"}};

constexpr nacre_type kType =
    sdk::machine_type<Q35>("q35", "a standard PC with PCI Express, ACPI and direct kernel boot", kProps);

}  // namespace
}  // namespace nacre::q35

NACRE_PLUGIN(&nacre::q35::kType);
