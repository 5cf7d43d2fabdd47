// One virtio-mmio slot: the register window of a device (virtio 1.2 §4.2.2).
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/fd.hpp"
#include "core/kvm/vm.hpp"
#include "core/virtio/negotiation.hpp"

namespace nacre::virtio {

inline constexpr uint32_t kMmioSlotBytes = 0x200;

// The registers are kept as the driver reads them in `window`, kMmioSlotBytes of host memory that the guest may have
// mapped read-only: then its reads make no exit at all. Only writes come here, but for the two of the data path, which
// stay in the kernel: QueueNotify is an ioeventfd for each queue, and so is an InterruptACK of exactly "used buffer".
// Because nobody sees that acknowledgement, bit 0 of InterruptStatus is set for as long as the device is active: to a
// driver that is a used-buffer notification without a new used buffer, which it must expect at any time (§2.7.7.1).
// Whoever serves a ring need not touch the register, then, be it the kernel or another process.
class MmioTransport : public NegotiatedTransport {
 public:
  // An empty slot: DeviceID 0, which drivers pass over. `base` is the guest-physical address of the window.
  MmioTransport(kvm::Vm* vm, GuestMemory& memory, uint8_t* window, uint64_t base);
  ~MmioTransport() override;
  MmioTransport(const MmioTransport&) = delete;
  MmioTransport& operator=(const MmioTransport&) = delete;

  // [main] Shows the device in the slot, with the edge-triggered interrupt `gsi`.
  Status plug(VirtioDevice& device, uint32_t gsi);
  // [main] Resets it and empties the slot.
  void unplug();
  // [main] Puts `device`, of the same kind, in the place of the present one, which is reset. A driver that is at work
  // goes on with its rings and features and sees a change of the configuration; fails, and leaves all as it was, when
  // the new device cannot work with them.
  Status replace(VirtioDevice& device);

  // [vcpu, main] A write by the driver at `offset` of the window. Registers take 32-bit aligned writes only (§4.2.2.2).
  void write(uint32_t offset, uint32_t width, uint64_t value);

 private:
  uint32_t get(uint32_t reg) const { return load(at(reg)); }
  void put(uint32_t reg, uint32_t value) { store(at(reg), value); }
  uint32_t* at(uint32_t reg) const { return reinterpret_cast<uint32_t*>(window_ + reg); }

  Status make_eventfds() override NACRE_REQUIRES(mutex_);
  void drop_eventfds() override NACRE_REQUIRES(mutex_);
  Interrupt interrupt_of(uint32_t) override NACRE_REQUIRES(mutex_) { return {call_.get(), on_interrupt, this}; }
  void config_interrupt() override;
  bool driver_waits() const override { return false; }
  uint32_t first_size(uint32_t) const override { return 0; }
  void cleared() override NACRE_REQUIRES(mutex_);
  void write_register(uint32_t reg, uint32_t value) NACRE_REQUIRES(mutex_);
  void write_queue_register(uint32_t reg, uint32_t value) NACRE_REQUIRES(mutex_);
  void show_selected_queue() NACRE_REQUIRES(mutex_);
  Status can_take_over(const VirtioDevice& device) const NACRE_REQUIRES(mutex_);
  static void on_interrupt(void* self) noexcept;

  kvm::Vm* vm_;  // NULL in tests: kicks and interrupts are then eventfds only
  uint8_t* window_;
  const uint64_t base_;
  uint32_t gsi_ = 0;
  Fd call_;
  Fd ack_;
  std::atomic<uint32_t> interrupts_{0};  // asked for and not yet raised

  uint32_t queue_sel_ NACRE_GUARDED_BY(mutex_) = 0;
  uint32_t device_features_sel_ NACRE_GUARDED_BY(mutex_) = 0;
  uint32_t driver_features_sel_ NACRE_GUARDED_BY(mutex_) = 0;

 public:
  // For tests: the eventfd of the interrupt.
  int call_fd() const { return call_.get(); }
};

}  // namespace nacre::virtio
