// Direct kernel boot: the kernel and initrd that the user has named, from their files to a first vCPU that enters them.
#pragma once

#include <functional>
#include <nacre/machine.hpp>
#include <string>

#include "machines/common/smbios.hpp"
#include "machines/common/x86_boot.hpp"

namespace nacre::machine {

// What differs between machines at this point.
struct DirectBootPlan {
  std::string command_line;
  RamLayout ram;
  std::vector<MemoryRange> reserved;  // between low and high RAM
  uint32_t vcpus = 1;
  std::optional<uint16_t> reset_port;  // takes a 1; none: a kernel that restarts by way of the firmware shuts down
  // Writes the ACPI tables and returns the root pointer's address. Empty: the machine has none.
  std::function<sdk::Result<uint64_t>(const sdk::MemoryView& memory)> write_acpi;
  std::optional<SmbiosFiles> smbios{};
};

// Main thread, as the machine that has it.
class DirectBoot {
 public:
  // Opens what the user has named and looks whether the kernel fits into `ram`. Fails in the user's words. Without a
  // kernel only a machine without vCPUs is complete; boot() does nothing then.
  sdk::Status open(const nacre_machine_config& config, const RamLayout& ram, const std::string& machine_name);

  // Writes all that the kernel finds when it is entered, and sets the first vCPU. Repeatable: a reset does it over what
  // the last guest left.
  sdk::Status boot(nacre_instance* machine, const DirectBootPlan& plan, nacre_error* slot);

 private:
  BootFile kernel_;
  BootFile initrd_;
  bool absent_ = false;           // there is no kernel, and nobody to run it
  bool memory_was_used_ = false;  // so that it may be other than zeroes
};

}  // namespace nacre::machine
