// The NUMA nodes of a machine in ACPI (ACPI 6.4 §5.2.16, §5.2.17).
#pragma once

#include <nacre/abi/machine.h>

#include <optional>

#include "machines/common/acpi.hpp"
#include "machines/common/memory_map.hpp"

namespace nacre::machine {

// What the user wants the guest to see, with each node's memory where `ram` puts it; nothing when it is to see no
// nodes.
std::optional<AcpiNuma> numa_of(const nacre_machine_config& config, const RamLayout& ram);

// With numa. Which processor and which memory belong to which node, and how far nodes are from each other.
Bytes acpi_srat(const AcpiMachine& machine);
Bytes acpi_slit(const AcpiMachine& machine);

}  // namespace nacre::machine
