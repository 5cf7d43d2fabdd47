// One virtio-mmio slot: the register window of a device (virtio 1.2 §4.2.2).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "core/base/fd.hpp"
#include "core/kvm/vm.hpp"
#include "core/memory/guest_memory.hpp"
#include "core/virtio/virtio_device.hpp"

namespace nacre::virtio {

inline constexpr uint32_t kMmioSlotBytes = 0x200;

// The registers are kept as the driver reads them in `window`, kMmioSlotBytes of host memory that the guest may have
// mapped read-only: then its reads make no exit at all. Only writes come here, but for the two of the data path, which
// stay in the kernel: QueueNotify is an ioeventfd for each queue, and so is an InterruptACK of exactly "used buffer".
// Because nobody sees that acknowledgement, bit 0 of InterruptStatus is set for as long as the device is active: to a
// driver that is a used-buffer notification without a new used buffer, which it must expect at any time (§2.7.7.1).
// Whoever serves a ring need not touch the register, then, be it the kernel or another process.
class MmioTransport : public Transport {
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
  bool empty() const { return !device_; }

  // [vcpu, main] A write by the driver at `offset` of the window. Registers take 32-bit aligned writes only (§4.2.2.2).
  void write(uint32_t offset, uint32_t width, uint64_t value);
  // [main, vCPUs not running] As if the driver had written 0 to Status.
  void reset();

  // [any] See Transport.
  void set_config(uint32_t offset, const void* data, uint32_t length, bool notify) override;
  void needs_reset() override;

 private:
  struct Queue {
    uint32_t num = 0;
    uint64_t desc = 0, avail = 0, used = 0;
    bool ready = false;
    Fd kick;
  };

  uint32_t get(uint32_t reg) const { return __atomic_load_n(at(reg), __ATOMIC_SEQ_CST); }
  void put(uint32_t reg, uint32_t value) { __atomic_store_n(at(reg), value, __ATOMIC_SEQ_CST); }
  uint32_t* at(uint32_t reg) const { return reinterpret_cast<uint32_t*>(window_ + reg); }

  std::unique_lock<std::mutex> lock_and_serve();
  Status make_eventfds();
  void drop_eventfds();
  void show(VirtioDevice& device);
  void clear();
  void write_register(uint32_t reg, uint32_t value);
  void write_queue_register(uint32_t reg, uint32_t value);
  void write_config(uint32_t offset, uint32_t width, uint64_t value);
  void write_status(uint32_t value);
  void reset_locked();
  void show_selected_queue();
  bool activate();
  Result<std::vector<nacre_virtqueue>> set_up_queues();
  Status can_take_over(const VirtioDevice& device) const;
  uint16_t used_index(const Queue& queue) const;
  Status check(const Queue& queue, size_t index) const;
  void config_interrupt();
  static void on_interrupt(void* self) noexcept;

  kvm::Vm* vm_;  // NULL in tests: kicks and interrupts are then eventfds only
  GuestMemory& memory_;
  uint8_t* window_;
  const uint64_t base_;

  // [main] sets these; vCPUs reach them through the window's bus region, which is claimed before and released after.
  VirtioDevice* device_ = nullptr;
  uint32_t gsi_ = 0;
  Fd call_;
  Fd ack_;
  std::atomic<uint32_t> interrupts_{0};  // asked for and not yet raised

  std::mutex mutex_;  // of the negotiation, not of the data path
  std::vector<Queue> queues_;
  uint32_t queue_sel_ = 0;
  uint32_t device_features_sel_ = 0;
  uint32_t driver_features_sel_ = 0;
  uint64_t driver_features_ = 0;
  bool active_ = false;

  std::mutex config_mutex_;  // orders changes of the configuration; never held while calling the device

 public:
  // For tests: the eventfds of a queue and of the interrupt.
  int kick_fd(uint32_t queue) const { return queues_[queue].kick.get(); }
  int call_fd() const { return call_.get(); }
};

}  // namespace nacre::virtio
