// What a machine tells its firmware: processors, memory, ACPI tables, and a kernel to start.
#pragma once

#include "machines/common/acpi_loader.hpp"
#include "machines/common/fw_cfg.hpp"
#include "machines/common/memory_map.hpp"
#include "machines/common/smbios.hpp"

namespace nacre::machine {

struct FirmwareContents {
  uint32_t vcpus = 1;
  uint32_t max_vcpus = 1;
  uint64_t ram_size = 0;          // bytes
  std::vector<MemoryRange> e820;  // of a PC: RAM by its addresses, whatever of it the firmware takes
  AcpiFiles acpi;
  Bytes boot_order;  // boot_order.hpp; empty: the firmware's own
  std::optional<SmbiosFiles> smbios;
  std::optional<uint16_t> console_port;  // of a serial port that SeaBIOS shows its messages on
  const BootFile* kernel = nullptr;      // NULL: none
  const BootFile* initrd = nullptr;
  std::string_view command_line;
};

// Puts all of it into `device`, in place of what was there. The files outlive it. Fails when the kernel cannot be read.
sdk::Status fill_fw_cfg(FwCfg& device, FirmwareContents contents);

}  // namespace nacre::machine
