// Which devices firmware tries, and in which order, in the words of fw_cfg's file "bootorder": Open Firmware's paths,
// as OVMF and SeaBIOS compare them with the devices that they have found (IEEE Std 1275 PCI Bus Binding §2.2.1).
#pragma once

#include <nacre/host.hpp>
#include <string>

#include "machines/common/bytes.hpp"

namespace nacre::machine {

// One path for each device that firmware can start from, a line each, and a zero at the end; empty where there is none.
class BootOrder {
 public:
  void add(const nacre_boot_device& device);
  Bytes take();

 private:
  std::string lines_;
};

// [main, in boot] Those of the user's devices.
Bytes boot_order(nacre_instance* machine);

}  // namespace nacre::machine
