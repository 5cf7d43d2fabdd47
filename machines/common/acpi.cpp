#include "machines/common/acpi.hpp"

#include "machines/common/acpi_numa.hpp"
#include "machines/common/acpi_table.hpp"
#include "machines/common/memory_map.hpp"
#include "machines/common/mp_table.hpp"

namespace nacre::machine {
Bytes acpi_xsdt(std::string_view machine, const std::vector<uint64_t>& tables) {
  Bytes table = acpi_header("XSDT", 1, machine);
  for (uint64_t address : tables) append(table, address);
  return acpi_finish(std::move(table));
}

// The root pointer, revision 2 (§5.2.5.3).
Bytes acpi_rsdp(uint64_t xsdt) {
  Bytes pointer;
  append_text(pointer, "RSD PTR ", 8, ' ');
  append(pointer, uint8_t{0});  // checksum of the first 20 bytes
  append_text(pointer, "NACRE", 6, ' ');
  append(pointer, uint8_t{2});
  append(pointer, uint32_t{0});  // no RSDT
  append(pointer, uint32_t{36});
  append(pointer, xsdt);
  append(pointer, uint32_t{0});  // checksum of all, and reserved bytes
  pointer[kRsdpChecksum] = checksum(std::span(pointer).first(20));
  pointer[kRsdpExtendedChecksum] = checksum(pointer);
  return pointer;
}

Bytes acpi_header(std::string_view signature, uint8_t revision, std::string_view machine) {
  Bytes table;
  append_text(table, signature, 4, ' ');
  append(table, uint32_t{0});  // length
  append(table, revision);
  append(table, uint8_t{0});  // checksum
  append_text(table, "NACRE", 6, ' ');
  append_text(table, machine, 8, ' ');
  append(table, uint32_t{1});
  append_text(table, "NACR", 4, ' ');
  append(table, uint32_t{1});
  return table;
}

Bytes acpi_finish(Bytes table) {
  put(std::span<uint8_t>(table), 4, static_cast<uint32_t>(table.size()));
  table[9] = checksum(table);
  return table;
}

// §5.2.12. Lines go through the IOAPIC, each by the number that a device's resources give. A hardware-reduced machine
// announces no 8259 pair; on another a kernel masks what firmware has left on there.
Bytes acpi_madt(const AcpiMachine& machine) {
  constexpr uint32_t kEnabled = 1, kOnlineCapable = 2, kFirstX2apicOnly = 255;
  constexpr uint32_t kPcatCompatible = 1;
  constexpr uint16_t kActiveHighLevel = 0xd;
  enum : uint8_t { kLapic = 0, kIoapic = 1, kOverride = 2, kLapicNmi = 4, kX2apic = 9, kX2apicNmi = 10 };
  Bytes table = acpi_header("APIC", 5, machine.name);
  append(table, static_cast<uint32_t>(kLapicAddress));
  append(table, machine.fixed ? kPcatCompatible : uint32_t{0});
  const std::vector<bool> present =
      machine.cpu_hotplug ? machine.cpu_hotplug->present : std::vector(machine.vcpus, true);
  for (uint32_t id = 0; id < present.size(); ++id) {
    const uint32_t state = present[id] ? kEnabled : kOnlineCapable;
    if (id < kFirstX2apicOnly) {
      table.insert(table.end(), {kLapic, 8, static_cast<uint8_t>(id), static_cast<uint8_t>(id)});
      append(table, state);
    } else {
      table.insert(table.end(), {kX2apic, 16, 0, 0});
      append(table, id);
      append(table, state);
      append(table, id);  // ACPI processor UID
    }
  }
  table.insert(table.end(), {kIoapic, 12, 0, 0});
  append(table, static_cast<uint32_t>(kIoapicAddress));
  append(table, uint32_t{0});  // first GSI
  if (machine.fixed) {
    // The system control interrupt has the line of its number, but not the trigger of ISA.
    table.insert(table.end(), {kOverride, 10, 0, static_cast<uint8_t>(machine.fixed->gsi)});
    append(table, machine.fixed->gsi);
    append(table, kActiveHighLevel);
  }
  // NMI at LINT1 of all processors, polarity and trigger of the bus.
  table.insert(table.end(), {kLapicNmi, 6, 0xff, 0, 0, 1});
  if (present.size() > kFirstX2apicOnly)
    table.insert(table.end(), {kX2apicNmi, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0});
  return acpi_finish(std::move(table));
}

// PCI Firmware Specification 3.2 §4.1.2.
Bytes acpi_mcfg(const AcpiMachine& machine) {
  Bytes table = acpi_header("MCFG", 1, machine.name);
  append(table, uint64_t{0});
  append(table, machine.pci->ecam);
  append(table, uint16_t{0});  // segment group
  append(table, uint8_t{0});   // first bus
  append(table, machine.pci->last_bus);
  append(table, uint32_t{0});
  return acpi_finish(std::move(table));
}

std::vector<Bytes> acpi_other_tables(const AcpiMachine& machine) {
  std::vector<Bytes> tables = {acpi_madt(machine)};
  if (machine.pci) tables.push_back(acpi_mcfg(machine));
  if (machine.numa) {
    tables.push_back(acpi_srat(machine));
    tables.push_back(acpi_slit(machine));
  }
  return tables;
}

sdk::Result<uint64_t> write_acpi(const AcpiMachine& machine, const sdk::MemoryView& memory) {
  uint64_t next = low::kAcpi + 64;  // the root pointer stands first, and is known last
  bool fits = true;
  auto place = [&](const Bytes& table) {
    const uint64_t at = next;
    next = (next + table.size() + 15) & ~15ull;
    fits = fits && next <= low::kBios && memory.write(at, table.data(), table.size());
    return at;
  };
  const uint64_t dsdt = place(acpi_dsdt(machine));
  const uint64_t fadt = place(acpi_fadt(machine, dsdt));
  std::vector<uint64_t> tables = {fadt};
  for (const Bytes& table : acpi_other_tables(machine)) tables.push_back(place(table));
  const Bytes root = acpi_rsdp(place(acpi_xsdt(machine.name, tables)));
  if (!fits || !memory.write(low::kAcpi, root.data(), root.size()))
    return sdk::fail("the machine's ACPI tables take ", size_text(next - low::kAcpi),
                     " and 64 KiB of memory are there for them; use fewer vCPUs, or acpi=off.");
  return low::kAcpi;
}

}  // namespace nacre::machine
