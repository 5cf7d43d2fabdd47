// The devices of a hardware-reduced machine, as its guest's ACPI name space shows them.
#include <string>

#include "machines/common/acpi.hpp"
#include "machines/common/acpi_cpus.hpp"
#include "machines/common/acpi_pci.hpp"
#include "machines/common/acpi_table.hpp"
#include "machines/common/aml.hpp"

namespace nacre::machine {
namespace {

constexpr uint32_t kVirtioRegisters = 0x200;
constexpr uint64_t kButtonPressed = 0x80;  // §4.8.3.1.2
constexpr uint64_t kSleepTypeS5 = 5;

std::string virtio_name(uint32_t number) {
  std::string name = "V000";
  for (size_t i = 3; i > 0; --i, number /= 10) name[i] = static_cast<char>('0' + number % 10);
  return name;
}

// What Linux's virtio-mmio driver binds to.
Bytes virtio_device(const AcpiVirtioSlot& slot) {
  return aml::device(virtio_name(slot.number),
                     {aml::name("_HID", aml::string("LNRO0005")), aml::name("_UID", aml::integer(slot.number)),
                      aml::name("_CCA", aml::integer(1)),
                      aml::name("_CRS", aml::resource_template(
                                            {aml::memory32_fixed(static_cast<uint32_t>(slot.base), kVirtioRegisters),
                                             aml::interrupt(slot.gsi)}))});
}

Bytes serial_port(const AcpiSerial& serial) {
  return aml::device(
      "COM1",
      {aml::name("_HID", aml::eisa_id("PNP0501")), aml::name("_UID", aml::integer(0)),
       aml::name("_CRS", aml::resource_template({aml::io_ports(serial.io_base, 8), aml::interrupt(serial.gsi)}))});
}

Bytes power_button() {
  return aml::device("PWRB", {aml::name("_HID", aml::eisa_id("PNP0C0C"))});
}

// The generic event device (§5.6.9). It has an interrupt for the button, which is all that this tells, and one for the
// event register where there is one.
Bytes event_device(const AcpiMachine& machine) {
  std::vector<Bytes> lines = {aml::interrupt(machine.power.button_gsi)};
  std::vector<Bytes> terms = {aml::name("_HID", aml::string("ACPI0013")), aml::name("_UID", aml::integer(0))};
  std::vector<Bytes> pressed = {aml::notify("\\_SB.PWRB", kButtonPressed)};
  if (machine.cpu_hotplug) {
    lines.push_back(aml::interrupt(machine.cpu_hotplug->gsi));
    pressed = {aml::if_(aml::equal(aml::argument(0), aml::integer(machine.power.button_gsi)), pressed),
               aml::else_(acpi_cpu_events())};
  }
  terms.push_back(aml::name("_CRS", aml::resource_template(lines)));
  terms.push_back(aml::method("_EVT", 1, pressed, /*serialized=*/machine.cpu_hotplug.has_value()));
  return aml::device("GED_", terms);
}

// The clock of a PC (PNP0B00).
Bytes clock() {
  return aml::device("RTC_", {aml::name("_HID", aml::eisa_id("PNP0B00")),
                              aml::name("_CRS", aml::resource_template({aml::io_ports(0x70, 2), aml::interrupt(8)}))});
}

}  // namespace

Bytes acpi_dsdt(const AcpiMachine& machine) {
  std::vector<Bytes> devices = {power_button()};
  if (machine.cpu_hotplug)
    for (Bytes& device : acpi_cpus(*machine.cpu_hotplug)) devices.push_back(std::move(device));
  devices.push_back(event_device(machine));
  if (machine.serial) devices.push_back(serial_port(*machine.serial));
  if (machine.clock) devices.push_back(clock());
  if (machine.pci) {
    devices.push_back(acpi_pci_host(*machine.pci));
    devices.push_back(acpi_ecam_reservation(*machine.pci));
  }
  for (const AcpiVirtioSlot& slot : machine.virtio) devices.push_back(virtio_device(slot));
  Bytes table = acpi_header("DSDT", 2, machine.name);
  append(table, std::span<const uint8_t>(aml::scope("\\_SB", devices)));
  append(table, std::span<const uint8_t>(aml::name("\\_S5", aml::package({aml::integer(kSleepTypeS5), aml::integer(0),
                                                                          aml::integer(0), aml::integer(0)}))));
  return acpi_finish(std::move(table));
}

}  // namespace nacre::machine
