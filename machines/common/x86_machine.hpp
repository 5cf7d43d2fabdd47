// What the x86 machines have in common beside their buses: RAM around the gap, KVM's chips, a serial port, devices of
// their own.
#pragma once

#include <nacre/machine.hpp>
#include <string>

#include "machines/common/memory_map.hpp"

namespace nacre::machine {

// The first serial port, where every PC has it.
inline constexpr uint16_t kSerialPorts = 0x3f8;
inline constexpr uint32_t kSerialLine = 4;

class X86Machine : public sdk::Machine {
 public:
  // RAM that does not fit below `gap` goes on at 4 GiB.
  X86Machine(nacre_instance* instance, const nacre_machine_config& config, uint64_t gap)
      : Machine(instance, config), ram_(RamLayout::split(config.ram_size, gap)) {}

 protected:
  const RamLayout& ram() const { return ram_; }

  // [in layout] The RAM, and the interrupt controllers and the timer that KVM has.
  sdk::Status lay_out_ram(nacre_error* slot);
  // [in build] A device by driver name, with properties as on the command line.
  sdk::Status add_device(const char* driver, const char* id, const std::string& properties, nacre_error* slot);
  // [in build] The serial port, when the user wants one.
  sdk::Status add_serial(nacre_error* slot);

 private:
  const RamLayout ram_;
};

}  // namespace nacre::machine
