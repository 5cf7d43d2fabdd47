// What an x86 kernel finds when it is entered directly: the processor's state and the structures it points to.
#pragma once

#include <nacre/abi/vcpu.h>

#include <string_view>

#include "machines/common/load_kernel.hpp"

namespace nacre::machine {

struct BootInfo {
  std::string_view command_line;  // without the final zero
  LoadedInitrd initrd;
  RamLayout ram;
  uint64_t acpi_rsdp = 0;             // guest-physical; 0: the machine has no ACPI
  std::vector<MemoryRange> reserved;  // between low and high RAM
};

// Writes everything that `image` needs in order to start (the command line, the zero page or hvm_start_info, the GDT
// and the page tables) into RAM below 1 MiB, over whatever was there, and returns the state for the first vCPU. Fails
// when the command line is longer than the kernel reads.
sdk::Result<nacre_x86_state> prepare_boot(const KernelImage& image, const BootInfo& info,
                                          const sdk::MemoryView& memory);

// The parts of prepare_boot(). Each fails only when the memory is not there.
sdk::Status write_zero_page(const KernelImage& image, const BootInfo& info, const sdk::MemoryView& memory);
sdk::Status write_pvh_start_info(const BootInfo& info, const sdk::MemoryView& memory);
// Maps the first GiBs one to one with 2 MiB pages: one, or as many as reach `end` (at most four).
sdk::Status write_page_tables(uint64_t end, const sdk::MemoryView& memory);

}  // namespace nacre::machine
