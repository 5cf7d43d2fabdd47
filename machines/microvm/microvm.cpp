// microvm: the smallest machine that a stock Linux kernel boots on. RAM, the interrupt controllers and the timer that
// KVM has, virtio-mmio slots, and on demand a serial port; nothing that a kernel would probe or wait for in vain.
#include <nacre/log.hpp>
#include <nacre/machine.hpp>
#include <optional>
#include <string>

#include "machines/common/acpi_numa.hpp"
#include "machines/common/direct_boot.hpp"
#include "machines/common/keyboard_port.hpp"
#include "machines/common/x86_machine.hpp"
#include "machines/microvm/slots.hpp"

namespace nacre::microvm {
namespace {

using sdk::ErrorSlot;
using sdk::host;
using sdk::Status;

// Guest-physical addresses, beside those of the slots.
constexpr uint64_t kGap = 0xc0000000;  // RAM that does not fit below goes on at 4 GiB

// Ports and lines of the machine's own devices. The power button has a line that no slot has.
constexpr uint16_t kPowerPorts = 0x600;  // sleep control, sleep status, reset
constexpr uint16_t kResetPort = kPowerPorts + 2;
constexpr uint32_t kPowerLine = 3;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_BOOL,
     .name = "acpi",
     .help = "describe the machine by ACPI tables, beside the MP table and the "
             "kernel command line",
     .default_text = "on"},
};

class Microvm : public machine::X86Machine {
 public:
  Microvm(nacre_instance* instance, const nacre_machine_config& config)
      : X86Machine(instance, config, kGap), acpi_(flag("acpi")) {}

  Status layout(nacre_error* slot) override {
    // First what the user may have got wrong.
    if (!acpi_ && config().ram->n_nodes != 0)
      return sdk::fail("-numa needs the ACPI tables to tell the guest; leave acpi=off out.");
    if (config().n_smbios)
      sdk::log(instance(), NACRE_LOG_WARN, "-smbios: microvm has no SMBIOS tables, and its guest will not read this; ",
               "use -machine q35, or leave it out.");
    if (Status opened = kernel_.open(config(), ram(), "microvm"); !opened) return opened;
    return lay_out_ram(slot);
  }

  Status build(nacre_error* slot) override {
    Status made = ErrorSlot::wrap(slot, "the virtio-mmio slots cannot be made", [&](nacre_error* error) {
      return host.machine->virtio_mmio_window(instance(), kSlotsBase, kSlotStride, kSlots, error);
    });
    for (uint32_t number = 0; made && number < kReplaceableSlots; ++number) made = offer_slot(number, slot);
    if (made) made = keyboard_port_.claim(instance(), machine::KeyboardPort::ResetLine::kNone, slot);
    if (made) made = add_serial(slot);
    if (made && acpi_)
      made = add_device("acpi-power", "machine-power",
                        "iobase=" + machine::hex(kPowerPorts) + ",irq=" + std::to_string(kPowerLine), slot);
    return made;
  }

  Status place(const nacre_device_desc& device, nacre_placement& placement) override {
    return slots_.place(device, placement);
  }
  void displace(const nacre_placement& placement) override { slots_.displace(placement); }

  Status boot(nacre_error* slot) override {
    machine::DirectBootPlan plan{
        .command_line = config().append + slots_.command_line(), .ram = ram(), .vcpus = config().vcpus};
    if (acpi_) {
      plan.reset_port = kResetPort;
      plan.write_acpi = [this](const sdk::MemoryView& memory) { return machine::write_acpi(describe(), memory); };
    }
    return kernel_.boot(instance(), plan, slot);
  }

 private:
  // Without the plugin of its driver the slot does not exist: nothing could come into it either.
  Status offer_slot(uint32_t number, nacre_error* slot) {
    nacre_status code = NACRE_OK;
    Status made = ErrorSlot::wrap(slot, "a slot cannot be made", [&](nacre_error* error) {
      return code = host.machine->replaceable_slot(instance(), Slots::base(number), Slots::line(number),
                                                   number < kDiskSlots ? kDiskDriver : kNicDriver, error);
    });
    if (code == NACRE_NOT_FOUND) return {};
    if (made) slots_.offer(number);
    return made;
  }

  machine::AcpiMachine describe() const {
    machine::AcpiMachine description;
    description.name = "MICROVM";
    description.vcpus = config().vcpus;
    description.power = {kPowerPorts, kPowerPorts + 1, kResetPort, kPowerLine};
    if (config().serial_chardev) description.serial = {machine::kSerialPorts, machine::kSerialLine};
    for (uint32_t slot = 0; slot < kSlots; ++slot)
      if (slots_.shown(slot)) description.virtio.push_back({slot, Slots::base(slot), Slots::line(slot)});
    description.numa = machine::numa_of(config(), ram());
    return description;
  }

  const bool acpi_;
  Slots slots_;
  machine::KeyboardPort keyboard_port_;
  machine::DirectBoot kernel_;
};

constexpr nacre_type kType =
    sdk::machine_type<Microvm>("microvm", "a small machine with direct kernel boot and virtio-mmio devices", kProps);

}  // namespace
}  // namespace nacre::microvm

NACRE_PLUGIN(&nacre::microvm::kType);
