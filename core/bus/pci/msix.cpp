#include "core/bus/pci/msix.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace nacre::pci {
namespace {

constexpr uint8_t kMsixId = 0x11;
constexpr uint32_t kMessageControl = 2;  // offset in the capability
constexpr uint16_t kControlEnable = 1 << 15;
constexpr uint16_t kControlFunctionMask = 1 << 14;

}  // namespace

Msix::Msix(uint32_t vectors, MessageSender* sender)
    : vectors_(std::clamp(vectors, 1u, kMostVectors)), sender_(sender), entries_(new Entry[vectors_]) {}

Msix::~Msix() = default;

uint32_t Msix::bar_bytes() const {
  return std::max(4096u, std::bit_ceil(vectors_ * kEntryBytes) * 2);
}

uint32_t Msix::add_capability(ConfigSpace& config, uint32_t bar, uint32_t table_offset, uint32_t pending_offset) {
  capability_ = config.add_capability(kMsixId, kCapabilityBytes);
  if (!capability_) return 0;
  config.set16(capability_ + kMessageControl, static_cast<uint16_t>(vectors_ - 1));
  config.writable(capability_ + kMessageControl, 2, kControlEnable | kControlFunctionMask);
  config.set32(capability_ + 4, table_offset | bar);
  config.set32(capability_ + 8, pending_offset | bar);
  return capability_;
}

void Msix::follow(const ConfigSpace& config) {
  const uint16_t control = config.get16(capability_ + kMessageControl);
  // A message is a write by the function: none without Bus Master Enable (PCI 3.0 §6.2.2).
  const uint32_t now = (control & kControlEnable ? kEnabled : 0u) |
                       (control & kControlFunctionMask ? kFunctionMask : 0u) |
                       (config.get16(kCommand) & kBusMaster ? kBusMasterOn : 0u);
  if (state_.exchange(now) != now) settle_all();
}

void Msix::reset() {
  state_ = 0;
  for (uint32_t i = 0; i < vectors_; ++i) {
    entries_[i].control = 1;
    entries_[i].address = 0;
    entries_[i].data = 0;
    entries_[i].pending = false;
  }
  MutexLock lock(mutex_);
  settle(fds_);
  for (VectorFd* fd : fds_) {
    uint64_t count;
    [[maybe_unused]] ssize_t drained = ::read(fd->fd(), &count, sizeof count);
  }
}

bool Msix::open(uint32_t vector) const {
  return (state_.load() & (kEnabled | kFunctionMask | kBusMasterOn)) == (kEnabled | kBusMasterOn) &&
         !(entries_[vector].control.load() & 1);
}

void Msix::notify(uint32_t vector) {
  if (vector >= vectors_) return;
  Entry& entry = entries_[vector];
  if (!open(vector)) {
    if (!enabled()) return;
    entry.pending = true;
    // Opened meanwhile? Then whoever opened it may have looked before the bit was set; one of both sends.
    if (!open(vector) || !entry.pending.exchange(false)) return;
  }
  if (sender_) sender_->send(entry.address.load(), entry.data.load());
}

// After a change of what masks the vector.
void Msix::settle(uint32_t vector) {
  if (open(vector) && entries_[vector].pending.exchange(false) && sender_)
    sender_->send(entries_[vector].address.load(), entries_[vector].data.load());
}

void Msix::settle_all() {
  for (uint32_t i = 0; i < vectors_; ++i) settle(i);
  MutexLock lock(mutex_);
  settle(fds_);
}

void Msix::follow(std::span<const std::pair<VectorFd*, uint32_t>> fds) {
  MutexLock lock(mutex_);
  std::vector<VectorFd*> changed;
  for (auto [fd, vector] : fds) {
    fd->guarded();
    fd->vector_ = vector;
    changed.push_back(fd);
  }
  settle(changed);
}

// Each is attached exactly while its vector is open, with the vector's message. All routes stand before
// the first is attached, since a signal that waits is sent then.
void Msix::settle(std::span<VectorFd* const> fds) {
  if (!sender_) return;
  bool routed = false;
  for (VectorFd* fd : fds) {
    fd->guarded();
    routed |= fd->choose_route();
  }
  if (!routed) return;
  if (Status done = sender_->commit(); !done)
    return refusals_.warn("pci", "interrupt routes: {}", done.error().message);
  for (VectorFd* fd : fds) {
    fd->guarded();
    fd->attach();
  }
}

uint32_t Msix::table_word(uint32_t index) const {
  const Entry& entry = entries_[index / 4];
  switch (index % 4) {
    case 0:
      return static_cast<uint32_t>(entry.address.load());
    case 1:
      return static_cast<uint32_t>(entry.address.load() >> 32);
    case 2:
      return entry.data.load();
    default:
      return entry.control.load();
  }
}

uint64_t Msix::read_table(uint32_t offset, uint32_t width) const {
  // Only aligned accesses of 4 and 8 bytes are allowed (PCI 3.0 §6.8.2); others read as zero.
  if ((width != 4 && width != 8) || offset % width || offset + width > vectors_ * kEntryBytes) return 0;
  uint64_t value = table_word(offset / 4);
  if (width == 8) value |= uint64_t{table_word(offset / 4 + 1)} << 32;
  return value;
}

void Msix::write_table(uint32_t offset, uint32_t width, uint64_t value) {
  if ((width != 4 && width != 8) || offset % width || offset + width > vectors_ * kEntryBytes) return;
  const uint32_t vector = offset / kEntryBytes;
  MutexLock lock(mutex_);
  for (uint32_t at = offset; at < offset + width; at += 4, value >>= 32) {
    Entry& entry = entries_[vector];
    const auto word = static_cast<uint32_t>(value);
    const uint64_t address = entry.address.load();
    switch (at % kEntryBytes / 4) {
      case 0:
        entry.address = (address & ~uint64_t{UINT32_MAX}) | (word & ~3u);
        break;
      case 1:
        entry.address = (address & UINT32_MAX) | uint64_t{word} << 32;
        break;
      case 2:
        entry.data = word;
        break;
      default:
        entry.control = word & 1;  // the others are reserved and read as zero
        break;
    }
  }
  settle(vector);
  for (VectorFd* fd : fds_) {
    fd->guarded();
    if (fd->vector_ == vector) settle(std::span(&fd, 1));
  }
}

uint64_t Msix::read_pending(uint32_t offset, uint32_t width) const {
  const uint32_t bytes = (vectors_ + 63) / 64 * 8;
  if ((width != 4 && width != 8) || offset % width || offset + width > bytes) return 0;
  uint64_t value = 0;
  const uint32_t first = offset * 8;
  for (uint32_t i = 0; i < width * 8 && first + i < vectors_; ++i)
    if (entries_[first + i].pending.load()) value |= uint64_t{1} << i;
  MutexLock lock(mutex_);
  for (const VectorFd* fd : fds_) {
    fd->guarded();
    if (fd->vector_ >= first && fd->vector_ < first + width * 8 && !fd->attached_ && fd->signalled())
      value |= uint64_t{1} << (fd->vector_ - first);
  }
  return value;
}

Result<std::unique_ptr<VectorFd>> VectorFd::create(Msix& msix) {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return fail("no eventfd for an interrupt: {}.", strerror(errno));
  auto made = std::unique_ptr<VectorFd>(new VectorFd(msix, std::move(fd)));
  MutexLock lock(msix.mutex_);
  msix.fds_.push_back(made.get());
  return made;
}

VectorFd::~VectorFd() {
  MutexLock lock(msix_.mutex_);
  std::erase(msix_.fds_, this);
  close();
}

void VectorFd::follow(uint32_t vector) {
  const std::pair<VectorFd*, uint32_t> one{this, vector};
  msix_.follow(std::span(&one, 1));
}

// Of an open vector, with its message; false where it is not open, or the kernel has no more.
bool VectorFd::choose_route() {
  if (vector_ >= msix_.vectors_ || !msix_.open(vector_)) {
    close();
    return false;
  }
  if (route_ < 0) route_ = msix_.sender_->allocate();
  if (route_ < 0) {
    msix_.refusals_.warn("pci", "the kernel has no room for another interrupt route.");
    return false;
  }
  const Msix::Entry& entry = msix_.entries_[vector_];
  msix_.sender_->route(route_, entry.address.load(), entry.data.load());
  return true;
}

void VectorFd::attach() {
  if (route_ < 0 || attached_) return;
  Status done = msix_.sender_->attach(route_, fd_.get());
  attached_ = static_cast<bool>(done);
  if (!done) msix_.refusals_.warn("pci", "interrupt vector {}: {}", vector_, done.error().message);
}

// Gives the route back as well: a function that is turned off holds none.
void VectorFd::close() {
  if (attached_) msix_.sender_->detach(route_, fd_.get());
  attached_ = false;
  if (route_ >= 0) msix_.sender_->free(route_);
  route_ = -1;
}

bool VectorFd::signalled() const {
  pollfd one{fd_.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace nacre::pci
