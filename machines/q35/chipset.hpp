// The functions of the Q35 chipset that firmware and kernels look for: the host bridge with the base of the
// configuration space, and the LPC bridge with the power management block (Intel 3 Series chipset data sheet §5.1.16;
// ICH9 §13.1).
#pragma once

#include <nacre/machine.hpp>

#include "machines/q35/power_block.hpp"

namespace nacre::q35 {

// 256 buses of memory-mapped configuration at power-on.
inline constexpr uint64_t kEcam = 0xb0000000;
inline constexpr uint32_t kEcamBuses = 256;

// Main thread, as the machine that has it; the registers' callbacks come on vCPUs.
class Chipset {
 public:
  // [in build, after pci_host] Adds the functions and the ports.
  sdk::Status add(nacre_instance* machine, nacre_error* slot);

  // For nacre_pci_host: the reset control register at 0xCF9 (ICH9 §13.7.5), the second of the ports 0xCF8 to 0xCFB.
  // `machine` is the instance.
  static uint64_t read_reset_port(void* machine, uint64_t offset, uint32_t width) noexcept;
  static void write_reset_port(void* machine, uint64_t offset, uint32_t width, uint64_t value) noexcept;

 private:
  static void on_host_bridge(void* machine, const uint8_t* config, uint32_t offset, uint32_t width) noexcept;

  PowerBlock power_block_;
};

}  // namespace nacre::q35
