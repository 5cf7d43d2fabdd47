// Firmware boot: flash below 4 GiB, what SeaBIOS and OVMF ask the machine for, and a first vCPU that is left at its
// reset vector.
#pragma once

#include <functional>
#include <nacre/machine.hpp>
#include <utility>

#include "machines/common/fw_cfg_contents.hpp"
#include "machines/common/fw_cfg_ports.hpp"

namespace nacre::q35 {

// Main thread, as the machine that has it.
class Firmware {
 public:
  Firmware(nacre_instance* machine, const nacre_machine_config& config) : machine_(machine), config_(config) {}
  ~Firmware() {
    if (sci_) sdk::host.irq->disconnect(std::exchange(sci_, nullptr));
  }
  Firmware(const Firmware&) = delete;
  Firmware& operator=(const Firmware&) = delete;

  // Whether the user has given firmware, so that it starts the machine, and not the kernel by itself.
  bool present() const { return config_.flash_drive[0] != nullptr; }

  // [in layout] Checks the flash and opens kernel and initrd. Fails in the user's words.
  sdk::Status open();
  // [in build] The flash, the configuration device and the line of the fixed registers; `add` makes a device of the
  // machine's own.
  using AddDevice = std::function<sdk::Status(const char* driver, const char* id, const std::string& properties)>;
  sdk::Status build(const AddDevice& add, nacre_error* slot);
  // [in boot] Fills the configuration device and puts the copy of the firmware's end below 1 MiB. The vCPUs are as at
  // power-on and stay so.
  sdk::Status boot(const machine::AcpiMachine& acpi, const machine::RamLayout& ram, nacre_error* slot);

 private:
  // Tells the user of a kernel that this firmware will not start.
  sdk::Status warn_of_kernel() const;
  sdk::Status shadow(nacre_error* slot) const;

  nacre_instance* machine_;
  const nacre_machine_config& config_;
  machine::BootFile kernel_;
  machine::BootFile initrd_;
  machine::FwCfgPorts fw_cfg_;
  nacre_irq* sci_ = nullptr;  // nothing raises it, and no other device may have it
};

}  // namespace nacre::q35
