// The ways of PCI interrupts into the guest: level-triggered lines that functions share, and messages.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/mutex.hpp"
#include "core/kvm/vm.hpp"

namespace nacre::pci {

// The lines that INTx signals end at. Each is up while any of the functions wired to it asserts its pin.
class SharedLines {
 public:
  static constexpr uint32_t kLines = 4;

  // Lines first_gsi .. first_gsi + 3. `vm` may be NULL in tests.
  SharedLines(kvm::Vm* vm, uint32_t first_gsi) : vm_(vm), first_gsi_(first_gsi) {}

  // [any] One function more or less asserts the line.
  void raise(uint32_t line);
  void lower(uint32_t line);
  bool level(uint32_t line) const {
    MutexLock lock(mutex_);
    return counts_[line] != 0;
  }
  uint32_t gsi(uint32_t line) const { return first_gsi_ + line; }

 private:
  void set(uint32_t line, bool level) NACRE_REQUIRES(mutex_);

  kvm::Vm* vm_;
  uint32_t first_gsi_;
  mutable Mutex mutex_;  // a line's level follows its count, in order
  uint32_t counts_[kLines] NACRE_GUARDED_BY(mutex_) = {};
};

// Sends a message, and gives eventfds that send one inside the kernel. A class of its own so that tests can listen.
class MessageSender {
 public:
  virtual ~MessageSender() = default;
  // [any] Lock-free.
  virtual void send(uint64_t address, uint32_t data) = 0;
  // [any] A number for route() and attach(), or -1 when the kernel has no more.
  virtual int allocate() = 0;
  virtual void free(int route) = 0;
  // [any] What an attached eventfd sends from the next commit() on, which is dear and may stand for several.
  virtual void route(int route, uint64_t address, uint32_t data) = 0;
  virtual Status commit() = 0;
  // [any] Each signal of `fd` sends the route's message; one that has come before is sent at once.
  virtual Status attach(int route, int fd) = 0;
  virtual void detach(int route, int fd) = 0;
};

// The one of KVM. Keeps the routes of the PIC's and the IOAPIC's lines as KVM has them by default.
class KvmMessages : public MessageSender {
 public:
  explicit KvmMessages(kvm::Vm& vm);
  void send(uint64_t address, uint32_t data) override { (void)vm_.signal_msi(address, data); }
  int allocate() override;
  void free(int route) override;
  void route(int route, uint64_t address, uint32_t data) override;
  Status commit() override;
  Status attach(int route, int fd) override { return vm_.add_irqfd(static_cast<uint32_t>(route), fd); }
  void detach(int route, int fd) override { (void)vm_.remove_irqfd(static_cast<uint32_t>(route), fd); }

 private:
  struct Route {
    bool taken = false, set = false;
    uint64_t address = 0;
    uint32_t data = 0;
  };

  kvm::Vm& vm_;
  Mutex mutex_;
  std::vector<Route> routes_ NACRE_GUARDED_BY(mutex_);  // of GSI kvm::kLines and up
  bool changed_ NACRE_GUARDED_BY(mutex_) = false;       // since the last commit
};

}  // namespace nacre::pci
