// A virtio device as a function on a PCI bus (virtio 1.2 §4.1), modern only.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/log_limit.hpp"
#include "core/bus/pci/host.hpp"
#include "core/virtio/negotiation.hpp"

namespace nacre::virtio {

// BAR 1 has the MSI-X table and pending bits. BAR 2 has four parts of 4 KiB each: common configuration, interrupt
// status, device configuration, notifications, queue N's at 4 * N. Notifications stay in the kernel, an ioeventfd for
// each queue. A queue's interrupt is sent as its vector's message by the caller's thread; what another process or the
// kernel signals goes by an eventfd that KVM ties to the vector.
class PciTransport : public NegotiatedTransport {
 public:
  static constexpr uint32_t kMsixBar = 1, kMemoryBar = 2;
  static constexpr uint32_t kPartBytes = 0x1000;
  enum Part : uint32_t { kCommon = 0, kIsr = 1, kDevice = 2, kNotify = 3 };
  static constexpr uint16_t kNoVector = 0xffff;  // VIRTIO_MSI_NO_VECTOR

  // [main] Makes the function, at no place yet. All outlive it.
  static Result<std::unique_ptr<PciTransport>> create(pci::PciHost& host, GuestMemory& memory, VirtioDevice& device);
  ~PciTransport() override;
  PciTransport(const PciTransport&) = delete;
  PciTransport& operator=(const PciTransport&) = delete;

  pci::PciFunction& function();
  // [main] At a free place of the bus, `hot`: while the guest runs, which the guest sees at once; gone from it, with
  // the device reset.
  void plug(pci::PciBus& bus, uint8_t devfn, bool hot = false);
  void unplug();

  // [vCPU, main] The driver's accesses to BAR 2.
  uint64_t read(uint64_t offset, uint32_t width);
  void write(uint64_t offset, uint32_t width, uint64_t value);

 private:
  class Function;
  // One queue's way to the driver, or that of changes of the configuration.
  struct Call {
    PciTransport* transport = nullptr;
    std::atomic<uint16_t> vector{kNoVector};
    std::unique_ptr<pci::VectorFd> fd;
    Watch* watch = nullptr;  // [main] for as long as signals of `fd` must become INTx
  };

  PciTransport(pci::PciHost& host, GuestMemory& memory, VirtioDevice& device);
  Status make_eventfds() override NACRE_REQUIRES(mutex_);
  void drop_eventfds() override NACRE_REQUIRES(mutex_);
  Interrupt interrupt_of(uint32_t queue) override NACRE_REQUIRES(mutex_) {
    return {calls_[queue].fd->fd(), on_interrupt, &calls_[queue]};
  }
  void config_interrupt() override;
  bool driver_waits() const override { return true; }
  uint32_t first_size(uint32_t queue) const override NACRE_REQUIRES(mutex_) { return device_->queue_sizes()[queue]; }
  void cleared() override NACRE_REQUIRES(mutex_);

  uint64_t read_common(uint32_t offset, uint32_t width) NACRE_REQUIRES(mutex_);
  void write_common(uint32_t offset, uint32_t width, uint32_t value) NACRE_REQUIRES(mutex_);
  void write_queue(uint32_t offset, uint32_t width, uint32_t value) NACRE_REQUIRES(mutex_);
  uint32_t read_interrupt_status();
  void set_vector(Call& call, uint32_t vector) NACRE_REQUIRES(mutex_);
  void raise_line(uint32_t why);
  void move_notifications(std::optional<uint64_t> base);
  void tie_notifications() NACRE_REQUIRES(mutex_);
  void untie_notifications() NACRE_REQUIRES(mutex_);
  void watch_calls() NACRE_REQUIRES(mutex_);
  void unwatch_calls() NACRE_REQUIRES(mutex_);
  static void on_interrupt(void* call) noexcept;

  pci::PciHost& host_;
  VirtioDevice& owner_;
  std::unique_ptr<Function> function_;
  log::Limit untied_;  // notifications, as often as the guest moves the BAR

  // What the driver reads, see Shown.
  uint32_t status_word_ = 0, interrupt_status_ = 0, generation_ = 0;
  alignas(8) uint8_t config_[NACRE_VIRTIO_CONFIG_MAX] = {};

  std::unique_ptr<Call[]> calls_;  // of each queue
  Call config_call_;

  uint32_t device_features_sel_ NACRE_GUARDED_BY(mutex_) = 0;
  uint32_t driver_features_sel_ NACRE_GUARDED_BY(mutex_) = 0;
  uint16_t queue_sel_ NACRE_GUARDED_BY(mutex_) = 0;
  std::optional<uint64_t> base_ NACRE_GUARDED_BY(mutex_);  // of BAR 2
  bool tied_ NACRE_GUARDED_BY(mutex_) = false;             // the queues' ioeventfds are at base_
};

}  // namespace nacre::virtio
