// The accesses of a test, made as a vCPU's would be: to memory slots, to eventfds, to devices.
#pragma once

#include <cstdint>

#include "core/bus/address_space.hpp"
#include "core/vm/qtest/test_vm.hpp"

namespace nacre::qtest {

// Main thread only.
class Access {
 public:
  // What memory that nobody answers for reads as.
  enum class Nobody { Ones, Zeros };

  Access(TestVm& vm, AddressSpace& memory, AddressSpace& ports, Nobody nobody)
      : vm_(vm), memory_(memory), ports_(ports), nobody_(nobody) {}

  // One access of 1, 2, 4 or 8 bytes. Of what nobody answers for, see Nobody; a write to it is lost.
  uint64_t load(uint64_t address, uint32_t width);
  void store(uint64_t address, uint32_t width, uint64_t value);
  // Any number of bytes: memory is copied, devices are accessed by aligned widths of at most 4.
  void read(uint64_t address, uint8_t* to, uint64_t length);
  void write(uint64_t address, const uint8_t* from, uint64_t length);
  // One access of 1, 2 or 4 bytes to ports.
  uint64_t in(uint16_t port, uint32_t width) { return ports_.read(kReader, port, width); }
  void out(uint16_t port, uint32_t width, uint64_t value);

 private:
  static constexpr uint32_t kReader = 0;  // there is no vCPU 0

  uint64_t load_device(uint64_t address, uint32_t width);

  TestVm& vm_;
  AddressSpace& memory_;
  AddressSpace& ports_;
  const Nobody nobody_;
};

}  // namespace nacre::qtest
