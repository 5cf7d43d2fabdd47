// ACPI tables for firmware that places them by itself: the tables, the root pointer, and the script by which it does
// so (QEMU's table loader, as EDK II's QemuFwCfgAcpiPlatform and SeaBIOS read it).
#pragma once

#include "machines/common/acpi.hpp"

namespace nacre::machine {

// The contents of three files of fw_cfg. Addresses in the tables are offsets into `tables` until the script has run.
struct AcpiFiles {
  static constexpr std::string_view kTables = "etc/acpi/tables";
  static constexpr std::string_view kRoot = "etc/acpi/rsdp";
  static constexpr std::string_view kScript = "etc/table-loader";
  Bytes tables;
  Bytes root;
  Bytes script;
};

AcpiFiles acpi_files(const AcpiMachine& machine);

}  // namespace nacre::machine
