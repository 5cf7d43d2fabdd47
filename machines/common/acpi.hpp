// The ACPI tables of a machine (ACPI 6.4 §5.2): hardware-reduced (§4.1), or with the fixed registers that a PC has.
#pragma once

#include <nacre/memory.hpp>
#include <nacre/result.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "machines/common/bytes.hpp"

namespace nacre::machine {

struct AcpiVirtioSlot {
  uint32_t number;
  uint64_t base;  // below 4 GiB
  uint32_t gsi;   // edge
};

// One-byte I/O ports and the button's interrupt of the machine's power device; S5 is sleep type 5, the reset value 1.
struct AcpiPower {
  uint16_t sleep_control;
  uint16_t sleep_status;
  uint16_t reset;
  uint32_t button_gsi;  // edge
};

// The fixed registers (§4.8.3), which are ACPI's from the start, and the line of their interrupt, level-triggered.
struct AcpiFixed {
  uint16_t events;   // status, enable: 2 bytes each
  uint16_t control;  // 2 bytes; S5 is sleep type 5
  uint16_t timer;    // 4 bytes, of which 24 bits count
  uint32_t gsi;      // below 16
};

struct AcpiSerial {
  uint16_t io_base;
  uint32_t gsi;  // edge
};

// A PCI Express root complex: the configuration space of buses 0 to `last_bus`, and what its host bridge passes on.
struct AcpiPci {
  uint64_t ecam;  // 1 MiB a bus
  uint8_t last_bus;
  uint32_t window_base, window_length;  // memory below 4 GiB
  uint64_t high_base, high_length;      // memory above; length 0: none
  uint32_t first_gsi;                   // pin A of slot 0; pins and slots go round over four lines, level-triggered
  std::optional<uint32_t> node{};       // of a NUMA machine: near which it is
};

// vCPUs that come and go: the event register and the CPU controller (q35/cpu_controller.hpp), and which of the vCPUs
// that there may be are there now.
struct AcpiCpuHotplug {
  uint32_t events;      // guest-physical
  uint32_t controller;  // likewise
  uint32_t gsi;         // edge
  std::vector<bool> present;
};

// The nodes of a NUMA machine, by their numbers in the user's words.
struct AcpiNuma {
  struct Memory {
    uint64_t base, length;
    uint32_t node;
  };
  std::vector<uint32_t> cpu_nodes;  // of each vCPU
  std::vector<Memory> memory;
  uint32_t localities = 0;         // the greatest number and one; the distances are of all
  std::vector<uint8_t> distances;  // from i to j at [i * localities + j]
};

struct AcpiMachine {
  std::string_view name;  // at most 8 characters, for the tables' headers
  uint32_t vcpus = 1;     // APIC ids 0 to vcpus - 1; without cpu_hotplug
  std::optional<AcpiCpuHotplug> cpu_hotplug;
  AcpiPower power{};
  std::optional<AcpiFixed> fixed;  // none: the machine is hardware-reduced
  std::optional<AcpiSerial> serial;
  bool clock = false;  // an MC146818 at its usual ports and line
  std::optional<AcpiPci> pci;
  std::vector<AcpiVirtioSlot> virtio;
  std::optional<AcpiNuma> numa;
};

// Each table with its header and checksum.
Bytes acpi_dsdt(const AcpiMachine& machine);
Bytes acpi_fadt(const AcpiMachine& machine, uint64_t dsdt, uint64_t facs = 0);  // `facs` only with fixed registers
Bytes acpi_facs();
Bytes acpi_madt(const AcpiMachine& machine);
Bytes acpi_mcfg(const AcpiMachine& machine);  // with pci
// All tables that the root table lists beside the FADT: what the machine has, without pointers.
std::vector<Bytes> acpi_other_tables(const AcpiMachine& machine);

// Writes all tables into the firmware area at 0xE0000 and returns the address of the root pointer, which also a search
// of that area finds. Fails when they do not fit into 64 KiB (some 4000 processors).
sdk::Result<uint64_t> write_acpi(const AcpiMachine& machine, const sdk::MemoryView& memory);

}  // namespace nacre::machine
