// The MultiProcessor table: processors and interrupt lines for kernels without ACPI (Intel MP specification 1.4).
#pragma once

#include <nacre/memory.hpp>
#include <nacre/result.hpp>

#include "machines/common/bytes.hpp"

namespace nacre::machine {

inline constexpr uint64_t kIoapicAddress = 0xfec00000;
inline constexpr uint64_t kLapicAddress = 0xfee00000;
inline constexpr uint32_t kIoapicLines = 24;

// Writes the floating pointer at the start of the EBDA, with the configuration table behind it or, with more
// processors than fit there, at 0xF0000. The table's entries have room for 8-bit APIC ids: of more than 254 processors
// the first 254 are listed (a kernel that takes more has ACPI). Every IOAPIC pin has the interrupt line of its number.
sdk::Status write_mp_table(uint32_t vcpus, const sdk::MemoryView& memory);

// Returns the configuration table alone.
Bytes mp_configuration(uint32_t vcpus);

}  // namespace nacre::machine
