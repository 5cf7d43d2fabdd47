#include "core/vm/qtest/test_vm.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nacre::qtest {
namespace {

constexpr size_t kMostMessages = 65536;  // that nobody has asked for

bool same(const kvm::IoEvent& a, const kvm::IoEvent& b) {
  return a.pio == b.pio && a.address == b.address && a.length == b.length && a.match == b.match;
}

void signal(int fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);  // a full counter is signalled already
}

}  // namespace

TestVm::~TestVm() {
  for (auto& irqfd : irqfds_) loop_.unwatch(irqfd->watch);
  loop_.drop(this);
}

int TestVm::check_extension(int capability) const {
  constexpr int kMostSlots = 32764;
  return capability == KVM_CAP_NR_MEMSLOTS ? kMostSlots : 0;
}

Status TestVm::set_memory_slot(uint32_t slot, uint64_t gpa, uint64_t length, void* hva, uint32_t flags) {
  loop_.call([&] {
    slots_.erase(slot);
    if (length) slots_.emplace(slot, Slot{gpa, length, static_cast<uint8_t*>(hva), (flags & KVM_MEM_READONLY) != 0});
  });
  return {};
}

Status TestVm::restore_chips() {
  MutexLock lock(mutex_);
  messages_.clear();
  for (Line& line : lines_) line.edge = false;
  return {};
}

void TestVm::set_level(uint32_t gsi, bool level) {
  Line& line = lines_[gsi];
  if (line.level == level) return;
  line.level = level;
  if (level) line.raised_in = step_;
  line.edge = !level && line.raised_in == step_;
  changes_.emplace_back(gsi, level);
  if (changes_.size() == 1) loop_.post([this] { tell_of_changes(); }, this);
}

void TestVm::tell_of_changes() {
  std::deque<std::pair<uint32_t, bool>> changes;
  {
    MutexLock lock(mutex_);
    changes.swap(changes_);
  }
  if (intercept_)
    for (const auto& [gsi, level] : changes) intercept_(gsi, level);
}

Status TestVm::set_irq_line(uint32_t gsi, bool level) {
  if (gsi >= kLines) return fail("setting interrupt line {} failed: there are {}.", gsi, kLines);
  MutexLock lock(mutex_);
  set_level(gsi, level);
  return {};
}

// A message to an address in RAM is written there too, as a device's write to memory is: tests that have no other way
// to see one point it at RAM.
Status TestVm::signal_msi(uint64_t address, uint32_t data) {
  {
    MutexLock lock(mutex_);
    if (messages_.size() < kMostMessages) messages_.emplace(address, data);
  }
  const auto store = [this, address, data] {
    const Piece piece = memory_at(address, true);
    if (piece.memory && piece.length >= sizeof data) std::memcpy(piece.memory, &data, sizeof data);
  };
  if (loop_.is_current())
    store();
  else
    loop_.post(store, this);
  return {};
}

Status TestVm::add_irqfd(uint32_t gsi, int fd, int resample_fd) {
  auto irqfd = std::make_unique<IrqFd>(IrqFd{gsi, fd, resample_fd, Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)), nullptr});
  if (!irqfd->own) return fail("tying an eventfd to interrupt {} failed: {}.", gsi, strerror(errno));
  IrqFd* known = irqfd.get();
  Result<Watch*> watch = loop_.watch(known->own.get(), EventLoop::kRead, [this, known](uint32_t) { on_irqfd(*known); });
  if (!watch) return watch.error();
  known->watch = *watch;
  MutexLock lock(mutex_);
  irqfds_.push_back(std::move(irqfd));
  return {};
}

Status TestVm::remove_irqfd(uint32_t gsi, int fd) {
  std::unique_ptr<IrqFd> leaving;
  {
    MutexLock lock(mutex_);
    auto found = std::find_if(irqfds_.begin(), irqfds_.end(),
                              [&](const auto& each) { return each->gsi == gsi && each->fd == fd; });
    if (found == irqfds_.end()) return fail("untying an eventfd from interrupt {} failed: it is not tied.", gsi);
    leaving = std::move(*found);
    irqfds_.erase(found);
  }
  loop_.unwatch(leaving->watch);
  return {};
}

void TestVm::on_irqfd(const IrqFd& irqfd) {
  // With poll() before it the descriptor need not be non-blocking; there is no second reader.
  uint64_t count = 0;
  if (::read(irqfd.own.get(), &count, sizeof count) != sizeof count) return;
  std::optional<std::pair<uint64_t, uint32_t>> message;
  {
    MutexLock lock(mutex_);
    if (irqfd.gsi < kLines) {
      set_level(irqfd.gsi, true);
      if (irqfd.resample_fd < 0) set_level(irqfd.gsi, false);
    } else if (auto found = routes_.find(irqfd.gsi); found != routes_.end()) {
      message = found->second;
    }
  }
  if (message) (void)signal_msi(message->first, message->second);
}

Status TestVm::set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries) {
  MutexLock lock(mutex_);
  routes_.clear();
  for (const kvm_irq_routing_entry& entry : entries)
    if (entry.type == KVM_IRQ_ROUTING_MSI)
      routes_[entry.gsi] = {uint64_t{entry.u.msi.address_hi} << 32 | entry.u.msi.address_lo, entry.u.msi.data};
  return {};
}

Status TestVm::add_ioeventfd(const kvm::IoEvent& event, int fd) {
  MutexLock lock(mutex_);
  for (const IoEventFd& other : ioeventfds_)
    if (same(other.event, event))
      return fail("tying an eventfd to {} {:#x} failed: one is tied to it already.", event.pio ? "port" : "address",
                  event.address);
  ioeventfds_.push_back({event, fd});
  return {};
}

Status TestVm::remove_ioeventfd(const kvm::IoEvent& event, int fd) {
  MutexLock lock(mutex_);
  const size_t removed =
      std::erase_if(ioeventfds_, [&](const IoEventFd& each) { return each.fd == fd && same(each.event, event); });
  if (removed == 0)
    return fail("untying an eventfd from {} {:#x} failed: it is not tied.", event.pio ? "port" : "address",
                event.address);
  return {};
}

TestVm::Piece TestVm::memory_at(uint64_t gpa, bool writing) const {
  uint64_t gap = UINT64_MAX - gpa;
  for (const auto& [number, slot] : slots_) {
    if (writing && slot.read_only) continue;
    if (gpa >= slot.gpa && gpa - slot.gpa < slot.length) {
      const uint64_t offset = gpa - slot.gpa;
      return {slot.memory + offset, slot.length - offset};
    }
    if (slot.gpa > gpa) gap = std::min(gap, slot.gpa - gpa);
  }
  return {nullptr, gap};
}

bool TestVm::take_write(bool pio, uint64_t address, uint32_t width, uint64_t value) {
  MutexLock lock(mutex_);
  for (const IoEventFd& each : ioeventfds_) {
    const kvm::IoEvent& event = each.event;
    if (event.pio != pio || event.address != address || (event.length && event.length != width)) continue;
    if (event.match && *event.match != value) continue;
    signal(each.fd);
    return true;
  }
  return false;
}

bool TestVm::take_message(uint64_t address, uint32_t data) {
  MutexLock lock(mutex_);
  return messages_.erase({address, data}) != 0;
}

bool TestVm::line(uint32_t gsi) {
  MutexLock lock(mutex_);
  return gsi < kLines && (lines_[gsi].level || lines_[gsi].edge);
}

bool TestVm::acknowledge(uint32_t gsi) {
  if (gsi >= kLines) return false;
  MutexLock lock(mutex_);
  lines_[gsi].edge = false;
  for (const auto& irqfd : irqfds_) {
    if (irqfd->gsi != gsi || irqfd->resample_fd < 0) continue;
    set_level(gsi, false);
    lines_[gsi].edge = false;
    signal(irqfd->resample_fd);
  }
  return true;
}

void TestVm::step() {
  MutexLock lock(mutex_);
  ++step_;
}

}  // namespace nacre::qtest
