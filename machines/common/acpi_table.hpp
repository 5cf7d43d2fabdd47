// The header that all ACPI tables but the root pointer begin with (ACPI 6.4 §5.2.6).
#pragma once

#include "machines/common/bytes.hpp"

namespace nacre::machine {

inline constexpr size_t kAcpiHeaderSize = 36;

// `machine` is the table id. Returns a header with its length and checksum still to be filled in by acpi_finish().
Bytes acpi_header(std::string_view signature, uint8_t revision, std::string_view machine);
Bytes acpi_finish(Bytes table);

}  // namespace nacre::machine
