// The ground of a machine that a test drives: what KVM does for a machine with vCPUs, done without KVM.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/kvm/vm.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre::qtest {

// Memory slots and ioeventfds answer the test's accesses as KVM's answer a guest's; interrupts end here and wait to be
// asked for. Functions are callable on any thread, as kvm::Vm's are; the slots' memory is read and written on the main
// thread.
class TestVm : public kvm::Vm {
 public:
  static constexpr uint32_t kLines = 24;  // GSIs that are lines, as in kvm::line_routes()

  // `loop` is the main one and outlives this.
  explicit TestVm(EventLoop& loop) : loop_(loop) {}
  ~TestVm() override;

  int check_extension(int capability) const override;
  Status set_memory_slot(uint32_t slot, uint64_t gpa, uint64_t length, void* hva, uint32_t flags) override;
  Status set_tss_address(uint64_t) override { return {}; }
  Status set_identity_map_address(uint64_t) override { return {}; }
  Status create_irqchip() override { return {}; }
  Status create_pit() override { return {}; }
  Status save_chips() override { return {}; }
  // Forgets the messages and edges that nobody has asked for.
  Status restore_chips() override;
  Status set_irq_line(uint32_t gsi, bool level) override;
  Status signal_msi(uint64_t address, uint32_t data) override;
  Status add_irqfd(uint32_t gsi, int fd, int resample_fd) override;
  Status remove_irqfd(uint32_t gsi, int fd) override;
  Status set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries) override;
  Status add_ioeventfd(const kvm::IoEvent& event, int fd) override;
  Status remove_ioeventfd(const kvm::IoEvent& event, int fd) override;

  struct Piece {
    uint8_t* memory;  // NULL: no memory there
    uint64_t length;  // of it, or up to the next memory
  };
  // [main] What [gpa, ...) is backed with, for reading or for writing (then without what is read-only).
  Piece memory_at(uint64_t gpa, bool writing) const;
  // [main] The test writes where no memory is: true when an eventfd took it.
  bool take_write(bool pio, uint64_t address, uint32_t width, uint64_t value);

  // Was the message sent since it was asked for last? Asking consumes it.
  bool take_message(uint64_t address, uint32_t data);
  // Is the line up, or was it up between two steps()? Lines that do not exist are down.
  bool line(uint32_t gsi);
  // The end of the interrupt: forgets an edge and asks whoever holds the line up by a descriptor to look again. False
  // for a line that does not exist.
  bool acknowledge(uint32_t gsi);
  // [main] The test's next request begins: what goes up and down before the one after it is an edge.
  void step();
  // [main] `changed(gsi, level)` is called on the main thread for each change of a line from now on.
  void intercept(std::function<void(uint32_t gsi, bool level)> changed) { intercept_ = std::move(changed); }

 private:
  struct Slot {
    uint64_t gpa, length;
    uint8_t* memory;
    bool read_only;
  };
  struct IoEventFd {
    kvm::IoEvent event;
    int fd;
  };
  struct IrqFd {
    uint32_t gsi;
    int fd;  // as it was given
    int resample_fd;
    Fd own;  // another name of it, so that its owner may close it
    Watch* watch;
  };
  struct Line {
    bool level = false;
    bool edge = false;       // went up and down and was not asked for
    uint64_t raised_in = 0;  // the step in which it went up
  };

  void on_irqfd(const IrqFd& irqfd);
  void set_level(uint32_t gsi, bool level) NACRE_REQUIRES(mutex_);
  void tell_of_changes();

  EventLoop& loop_;
  std::function<void(uint32_t, bool)> intercept_;
  std::map<uint32_t, Slot> slots_;  // main only
  mutable Mutex mutex_;
  std::vector<IoEventFd> ioeventfds_ NACRE_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<IrqFd>> irqfds_ NACRE_GUARDED_BY(mutex_);
  std::map<uint32_t, std::pair<uint64_t, uint32_t>> routes_ NACRE_GUARDED_BY(mutex_);  // of GSIs that are messages
  std::set<std::pair<uint64_t, uint32_t>> messages_ NACRE_GUARDED_BY(mutex_);
  Line lines_[kLines] NACRE_GUARDED_BY(mutex_);
  uint64_t step_ NACRE_GUARDED_BY(mutex_) = 0;
  std::deque<std::pair<uint32_t, bool>> changes_ NACRE_GUARDED_BY(mutex_);  // that intercept_ has not heard of
};

}  // namespace nacre::qtest
