// What driver and device agree on before the data path begins, whatever the transport: status, features, queues
// (virtio 1.2 §2.1, §2.2, §3.1.1). A transport adds the registers, the notifications and the interrupts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/memory/guest_memory.hpp"
#include "core/virtio/virtio_device.hpp"

namespace nacre::virtio {

// §2.1.
enum DeviceStatus : uint32_t {
  kAcknowledge = 1,
  kDriver = 2,
  kDriverOk = 4,
  kFeaturesOk = 8,
  kNeedsReset = 64,
  kFailed = 128,
};

enum : uint32_t { kUsedBuffer = 1, kConfigChange = 2 };  // of the interrupt status, §4.1.4.5 and §4.2.2

class NegotiatedTransport : public Transport {
 public:
  // See Transport.
  void show_config(std::span<const uint8_t> bytes) override;
  void set_config(uint32_t offset, const void* data, uint32_t length, bool notify) override;
  void needs_reset() override;

  // [main, vCPUs not running] As if the driver had written 0 to the status, at once.
  void reset();
  // [any] The bus is reset: the same, but that what is under way at the host is not waited for. The status is 0 when it
  // has ended.
  void bus_is_reset();

 protected:
  struct Queue {
    uint32_t num = 0;
    uint64_t desc = 0, avail = 0, used = 0;
    bool ready = false;
    Fd kick;
  };

  // How one queue interrupts the driver; see nacre_virtqueue.
  struct Interrupt {
    int call_fd;
    void (*raise)(void* opaque) noexcept;
    void* opaque;
  };

  // Where the driver reads what is kept here, in the transport's own memory, changed with atomic accesses.
  struct Shown {
    uint32_t* status;
    uint32_t* interrupt_status;
    uint32_t* generation;
    uint8_t* config;  // NACRE_VIRTIO_CONFIG_MAX bytes
  };

  NegotiatedTransport(GuestMemory& memory, Shown shown) : memory_(memory), shown_(shown) {}

  // What a transport provides, called with mutex_ held but for config_interrupt(), which comes on any thread.
  // Kicks for the queues, and all else that an active device needs; again at each activation.
  virtual Status make_eventfds() NACRE_REQUIRES(mutex_) = 0;
  virtual void drop_eventfds() NACRE_REQUIRES(mutex_) = 0;
  virtual Interrupt interrupt_of(uint32_t queue) NACRE_REQUIRES(mutex_) = 0;
  virtual void config_interrupt() = 0;
  // Whether a driver that resets the device waits until it reads a status of 0, as it must on PCI (§4.1.4.3.2).
  virtual bool driver_waits() const = 0;
  // The entries that a queue has after a reset.
  virtual uint32_t first_size(uint32_t queue) const NACRE_REQUIRES(mutex_) = 0;
  // The negotiation is as after a reset: the transport's own registers follow.
  virtual void cleared() NACRE_REQUIRES(mutex_) = 0;

  static uint32_t load(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
  static void store(uint32_t* word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
  static void set_low(uint64_t& field, uint32_t value) { field = (field & ~uint64_t{UINT32_MAX}) | value; }
  static void set_high(uint64_t& field, uint32_t value) { field = (field & UINT32_MAX) | uint64_t{value} << 32; }
  uint32_t status() const { return load(shown_.status); }

  // [main] The device comes in, or goes after it has been reset.
  void attach(VirtioDevice& device) NACRE_REQUIRES(mutex_);
  void detach() NACRE_REQUIRES(mutex_);
  // The driver writes the status, the features, the configuration.
  void write_status(uint32_t value) NACRE_REQUIRES(mutex_);
  void write_features(uint32_t half, uint32_t value) NACRE_REQUIRES(mutex_);
  void write_config(uint32_t offset, uint32_t width, uint64_t value) NACRE_REQUIRES(mutex_);
  // Whether the queue's registers may be written now: between the agreement on features and DRIVER_OK (§3.1.1), and
  // not while its addresses are in use.
  bool may_set_up() const { return status() & kFeaturesOk && !(status() & kDriverOk); }
  void kick(uint32_t queue) NACRE_REQUIRES(mutex_);

  void reset_locked() NACRE_REQUIRES(mutex_);
  // The driver has written 0 to the status.
  void driver_resets() NACRE_REQUIRES(mutex_);
  void finish_reset();
  void clear() NACRE_REQUIRES(mutex_);
  bool activate() NACRE_REQUIRES(mutex_);

  GuestMemory& memory_;
  const Shown shown_;

  // Of the negotiation, not of the data path. A vCPU holds it while it waits for the device's loop: see
  // lock_and_serve().
  Mutex mutex_;
  VirtioDevice* device_ NACRE_GUARDED_BY(mutex_) = nullptr;  // [main] sets it
  std::vector<Queue> queues_ NACRE_GUARDED_BY(mutex_);
  uint64_t driver_features_ NACRE_GUARDED_BY(mutex_) = 0;
  bool active_ NACRE_GUARDED_BY(mutex_) = false;
  bool resetting_ NACRE_GUARDED_BY(mutex_) = false;  // when the device's requests at the host have ended

  Mutex config_mutex_;  // orders changes of the configuration; never held while calling the device

 private:
  void change_config(uint32_t offset, std::span<const uint8_t> bytes) NACRE_EXCLUDES(config_mutex_);
  Result<std::vector<nacre_virtqueue>> set_up_queues() NACRE_REQUIRES(mutex_);
  uint16_t used_index(const Queue& queue) const;
  Status check(const Queue& queue, size_t index) const NACRE_REQUIRES(mutex_);

 public:
  // For tests: the eventfd of a queue.
  int kick_fd(uint32_t queue) {
    MutexLock lock(mutex_);
    return queues_[queue].kick.get();
  }
};

}  // namespace nacre::virtio
