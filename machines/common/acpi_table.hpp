// The header that all ACPI tables but the root pointer begin with (ACPI 6.4 §5.2.6).
#pragma once

#include "machines/common/bytes.hpp"

namespace nacre::machine {

inline constexpr size_t kAcpiHeaderSize = 36;

// `machine` is the table id. Returns a header with its length and checksum still to be filled in by acpi_finish().
Bytes acpi_header(std::string_view signature, uint8_t revision, std::string_view machine);
Bytes acpi_finish(Bytes table);

// The root table (§5.2.8) and the root pointer, revision 2 (§5.2.5.3), with the addresses given.
Bytes acpi_xsdt(std::string_view machine, const std::vector<uint64_t>& tables);
Bytes acpi_rsdp(uint64_t xsdt);
// Where addresses are in them and in the FADT (§5.2.9), and the root pointer's checksums: of 20 bytes, of all.
inline constexpr size_t kFadtFacs = 36, kFadtDsdt = 40, kFadtXDsdt = 140;
inline constexpr size_t kRsdpXsdt = 24, kRsdpChecksum = 8, kRsdpExtendedChecksum = 32;

}  // namespace nacre::machine
