// SMBIOS tables (DMTF DSP0134 3.4): what the user says of the machine's maker, serial numbers and parts.
#pragma once

#include <nacre/abi/machine.h>

#include <nacre/memory.hpp>
#include <nacre/result.hpp>
#include <optional>
#include <string_view>

#include "machines/common/bytes.hpp"

namespace nacre::machine {

// The contents of two files of fw_cfg. Firmware places the tables and writes their address into the anchor, the 64-bit
// entry point (§5.2.2).
struct SmbiosFiles {
  static constexpr std::string_view kAnchor = "etc/smbios/smbios-anchor";
  static constexpr std::string_view kTables = "etc/smbios/smbios-tables";
  Bytes anchor;
  Bytes tables;
};

// Structures of the system, its chassis, processors and memory, and of firmware and board where the user says something
// of them. Nothing where the user says nothing at all.
std::optional<SmbiosFiles> smbios_files(const nacre_machine_config& config);

// Writes both where a search of 0xF0000 to 1 MiB finds them (§5.2). Fails in the user's words when they do not fit.
sdk::Status write_smbios(const SmbiosFiles& files, const sdk::MemoryView& memory);

}  // namespace nacre::machine
