// MSI-X of one function: its table, pending bits and capability (PCI 3.0 §6.8.2, PCIe 5.0 §6.1.4).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/log_limit.hpp"
#include "core/base/mutex.hpp"
#include "core/bus/pci/config_space.hpp"
#include "core/bus/pci/interrupts.hpp"

namespace nacre::pci {

class VectorFd;

class Msix {
 public:
  static constexpr uint32_t kMostVectors = 2048;
  static constexpr uint32_t kEntryBytes = 16;
  static constexpr uint32_t kCapabilityBytes = 12;

  // 1 to kMostVectors vectors. `sender` may be NULL: messages go nowhere then.
  Msix(uint32_t vectors, MessageSender* sender);
  ~Msix();
  Msix(const Msix&) = delete;
  Msix& operator=(const Msix&) = delete;

  uint32_t vectors() const { return vectors_; }
  // What table and pending bits need together when they share a BAR, a power of two of at least 4096; and where the
  // pending bits begin then: in the second half.
  uint32_t bar_bytes() const;
  uint32_t pending_offset() const { return bar_bytes() / 2; }
  // Adds the capability, for a table and pending bits in BAR `bar`. Returns its offset.
  uint32_t add_capability(ConfigSpace& config, uint32_t bar, uint32_t table_offset, uint32_t pending_offset);
  // After each write to the configuration: follows Message Control and Bus Master Enable.
  void follow(const ConfigSpace& config);
  // As after power-on: every vector masked, nothing pending.
  void reset();

  // The guest's accesses to the table and the pending bits, `offset` from the start of each.
  uint64_t read_table(uint32_t offset, uint32_t width) const;
  void write_table(uint32_t offset, uint32_t width, uint64_t value);
  uint64_t read_pending(uint32_t offset, uint32_t width) const;

  // [any] Whether the guest has turned MSI-X on, so that there are no INTx signals.
  bool enabled() const { return state_.load(std::memory_order_acquire) & kEnabled; }
  // [any] Sends the vector's message, or keeps it pending while it is masked. Lock-free. A vector that does not exist
  // is ignored.
  void notify(uint32_t vector);
  // From now on each eventfd, one of this Msix, follows the vector beside it, as by VectorFd::follow(); the kernel's
  // routes change once for all.
  void follow(std::span<const std::pair<VectorFd*, uint32_t>> fds);

 private:
  friend class VectorFd;
  enum : uint32_t { kEnabled = 1, kFunctionMask = 2, kBusMasterOn = 4 };
  struct Entry {
    std::atomic<uint64_t> address{0};
    std::atomic<uint32_t> data{0};
    std::atomic<uint32_t> control{1};  // bit 0: masked
    std::atomic<bool> pending{false};
  };

  bool open(uint32_t vector) const;
  void settle(uint32_t vector);
  void settle_all();
  void settle(std::span<VectorFd* const> fds) NACRE_REQUIRES(mutex_);
  uint32_t table_word(uint32_t index) const;

  const uint32_t vectors_;
  MessageSender* sender_;
  std::unique_ptr<Entry[]> entries_;
  std::atomic<uint32_t> state_{0};
  uint32_t capability_ = 0;
  log::Limit refusals_;                                  // of the host, as often as the guest writes its table
  mutable Mutex mutex_;                                  // of what has to do with eventfds; not of notify()
  std::vector<VectorFd*> fds_ NACRE_GUARDED_BY(mutex_);  // those that exist
};

// An eventfd whose signals send the message of a vector, in the kernel while the vector is open and routed. While it is
// masked the eventfd's own count is the pending bit.
class VectorFd {
 public:
  // `msix` outlives it.
  static Result<std::unique_ptr<VectorFd>> create(Msix& msix);
  ~VectorFd();
  VectorFd(const VectorFd&) = delete;
  VectorFd& operator=(const VectorFd&) = delete;

  int fd() const { return fd_.get(); }
  // Follows this vector from now on; one that does not exist (VIRTIO_MSI_NO_VECTOR): none.
  void follow(uint32_t vector);

 private:
  friend class Msix;
  VectorFd(Msix& msix, Fd fd) : msix_(msix), fd_(std::move(fd)) {}
  // To the analysis: the lock that guards what follows is that of the Msix that has it.
  void guarded() const NACRE_ASSERT_CAPABILITY(msix_.mutex_) {}
  bool choose_route() NACRE_REQUIRES(msix_.mutex_);
  void attach() NACRE_REQUIRES(msix_.mutex_);
  void close() NACRE_REQUIRES(msix_.mutex_);
  bool signalled() const;

  Msix& msix_;
  Fd fd_;
  uint32_t vector_ NACRE_GUARDED_BY(msix_.mutex_) = UINT32_MAX;
  int route_ NACRE_GUARDED_BY(msix_.mutex_) = -1;
  bool attached_ NACRE_GUARDED_BY(msix_.mutex_) = false;
};

}  // namespace nacre::pci
