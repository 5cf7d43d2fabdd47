// The range of guest-physical memory that holds all virtio-mmio slots of a machine.
#pragma once

#include <nacre/abi/mmio.h>

#include <memory>
#include <vector>

#include "core/bus/address_space.hpp"
#include "core/virtio/mmio_transport.hpp"

namespace nacre::virtio {

// Its registers are host memory that the guest has mapped read-only where KVM allows that, so that only writes leave
// the guest. Made and destroyed on the main thread, with the vCPUs not running.
class MmioWindow {
 public:
  // `slots` of `stride` bytes (a power of two, at least 0x200) from `base` up, a multiple of 4096. Uses memory slot
  // `memslot` of `vm`, which may be NULL in tests.
  static Result<std::unique_ptr<MmioWindow>> create(kvm::Vm* vm, uint32_t memslot, AddressSpace& space,
                                                    GuestMemory& memory, uint64_t base, uint32_t stride,
                                                    uint32_t slots);
  ~MmioWindow();
  MmioWindow(const MmioWindow&) = delete;
  MmioWindow& operator=(const MmioWindow&) = delete;

  // The slot whose window begins at `base`, or NULL.
  MmioTransport* slot_at(uint64_t base);
  // [main, vCPUs not running] Resets every device.
  void reset();

 private:
  MmioWindow(kvm::Vm* vm, uint32_t memslot, AddressSpace& space) : vm_(vm), memslot_(memslot), space_(space) {}
  static uint64_t on_read(void* self, uint64_t offset, uint32_t width) noexcept;
  static void on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept;

  kvm::Vm* vm_;
  uint32_t memslot_;
  AddressSpace& space_;
  BusRegion* region_ = nullptr;
  uint8_t* memory_ = nullptr;
  uint64_t base_ = 0;
  uint64_t mapped_ = 0;  // bytes of memory_, whole pages
  uint32_t stride_ = 0;
  std::vector<std::unique_ptr<MmioTransport>> slots_;
};

}  // namespace nacre::virtio
