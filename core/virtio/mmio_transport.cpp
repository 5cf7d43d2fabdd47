#include "core/virtio/mmio_transport.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace nacre::virtio {
namespace {

// virtio 1.2 §4.2.2, table 4.1.
enum Register : uint32_t {
  kMagic = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kQueueSel = 0x030,
  kQueueNumMax = 0x034,
  kQueueNum = 0x038,
  kQueueReady = 0x044,
  kQueueNotify = 0x050,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kShmLenLow = 0x0b0,
  kShmLenHigh = 0x0b4,
  kShmBaseLow = 0x0b8,
  kShmBaseHigh = 0x0bc,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

// §2.1.
enum DeviceStatus : uint32_t {
  kAcknowledge = 1,
  kDriver = 2,
  kDriverOk = 4,
  kFeaturesOk = 8,
  kNeedsReset = 64,
  kFailed = 128,
};

enum : uint32_t { kUsedBuffer = 1, kConfigChange = 2 };  // §4.2.2 InterruptStatus

constexpr uint32_t kMagicValue = 0x74726976;

void set_low(uint64_t& field, uint32_t value) {
  field = (field & ~uint64_t{UINT32_MAX}) | value;
}
void set_high(uint64_t& field, uint32_t value) {
  field = (field & UINT32_MAX) | uint64_t{value} << 32;
}

}  // namespace

MmioTransport::MmioTransport(kvm::Vm* vm, GuestMemory& memory, uint8_t* window, uint64_t base)
    : vm_(vm), memory_(memory), window_(window), base_(base) {
  std::memset(window_, 0, kMmioSlotBytes);
  put(kMagic, kMagicValue);
  put(kVersion, 2);
  // There are no shared memory regions: their length and base read as all ones (§4.2.2).
  for (uint32_t reg : {kShmLenLow, kShmLenHigh, kShmBaseLow, kShmBaseHigh}) put(reg, UINT32_MAX);
}

MmioTransport::~MmioTransport() {
  unplug();
}

Status MmioTransport::plug(VirtioDevice& device, uint32_t gsi) {
  gsi_ = gsi;
  queues_.clear();
  queues_.resize(device.queue_sizes().size());
  device_ = &device;
  clear();
  show(device);
  return {};
}

void MmioTransport::show(VirtioDevice& device) {
  std::memset(window_ + kConfig, 0, NACRE_VIRTIO_CONFIG_MAX);
  std::copy(device.config().begin(), device.config().end(), window_ + kConfig);
  device.plug_into(this);
  put(kDeviceId, device.device_id());
}

void MmioTransport::unplug() {
  if (!device_) return;
  reset();
  device_->plug_into(nullptr);
  put(kDeviceId, 0);
  std::memset(window_ + kConfig, 0, NACRE_VIRTIO_CONFIG_MAX);
  drop_eventfds();
  queues_.clear();
  device_ = nullptr;
}

Status MmioTransport::can_take_over(const VirtioDevice& device) const {
  if (device.device_id() != device_->device_id())
    return fail("the driver in the guest knows this slot as a device of kind {}, not {}", device_->device_id(),
                device.device_id());
  if (device.queue_sizes().size() != queues_.size())
    return fail("the driver in the guest has set up {} queues here and the new device has {}; give it as many",
                queues_.size(), device.queue_sizes().size());
  for (size_t i = 0; i < queues_.size(); ++i)
    if (queues_[i].ready && queues_[i].num > device.queue_sizes()[i])
      return fail("the driver in the guest has given queue {} {} entries and the new device has {}; give it as many", i,
                  queues_[i].num, device.queue_sizes()[i]);
  return {};
}

Status MmioTransport::replace(VirtioDevice& device) {
  auto lock = lock_and_serve();
  VirtioDevice& old = *device_;
  if (get(kStatus) == 0) {  // no driver has seen it
    old.plug_into(nullptr);
    drop_eventfds();
    return plug(device, gsi_);
  }
  if (Status possible = can_take_over(device); !possible) return possible;
  const bool active = active_;
  if (active) {
    old.reset();
    device_ = &device;
    if (!activate()) {
      device_ = &old;
      if (!activate()) needs_reset();
      return fail(
          "it cannot take over from the device before it: the driver in the guest uses features or a set-up that "
          "it does not have");
    }
  }
  device_ = &device;
  old.plug_into(nullptr);
  put(kConfigGeneration, get(kConfigGeneration) + 1);
  show(device);
  put(kConfigGeneration, get(kConfigGeneration) + 1);
  if (get(kStatus) & kDriverOk) config_interrupt();
  return {};
}

// On the first activation, so that a slot whose driver never comes costs nothing; they stay until the device is
// unplugged, since each change makes KVM wait for the running vCPUs.
Status MmioTransport::make_eventfds() {
  if (call_) return {};
  Fd call(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  ack_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!call || !ack_) return fail("no eventfd: {}", strerror(errno));
  for (Queue& queue : queues_) {
    queue.kick = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!queue.kick) return fail("no eventfd: {}", strerror(errno));
  }
  call_ = std::move(call);
  if (!vm_) return {};
  Status added = vm_->add_irqfd(gsi_, call_.get());
  for (size_t i = 0; added && i < queues_.size(); ++i)
    added = vm_->add_ioeventfd({.address = base_ + kQueueNotify, .length = 4, .match = i}, queues_[i].kick.get());
  if (added)
    added = vm_->add_ioeventfd({.address = base_ + kInterruptAck, .length = 4, .match = kUsedBuffer}, ack_.get());
  if (!added) drop_eventfds();
  return added;
}

void MmioTransport::drop_eventfds() {
  if (vm_ && call_) {
    // What was never added is not found; there is nothing to undo then.
    (void)vm_->remove_irqfd(gsi_, call_.get());
    for (size_t i = 0; i < queues_.size(); ++i)
      (void)vm_->remove_ioeventfd({.address = base_ + kQueueNotify, .length = 4, .match = i}, queues_[i].kick.get());
    (void)vm_->remove_ioeventfd({.address = base_ + kInterruptAck, .length = 4, .match = kUsedBuffer}, ack_.get());
  }
  call_.close();
  ack_.close();
  for (Queue& queue : queues_) queue.kick.close();
}

void MmioTransport::write(uint32_t offset, uint32_t width, uint64_t value) {
  std::lock_guard lock(mutex_);
  if (!device_) return;
  if (offset >= kConfig)
    write_config(offset - kConfig, width, value);
  else if (width == 4 && offset % 4 == 0)
    write_register(offset, static_cast<uint32_t>(value));
}

void MmioTransport::reset() {
  auto lock = lock_and_serve();
  if (device_) reset_locked();
}

// A vCPU may hold the lock while it waits for the loop that this thread runs: serve it, rather than wait for each
// other.
std::unique_lock<std::mutex> MmioTransport::lock_and_serve() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  while (!lock) {
    if (EventLoop* own = EventLoop::current())
      own->run_posted_until([&] { return lock.try_lock(); }, std::chrono::milliseconds(1));
    else
      lock.lock();
  }
  return lock;
}

void MmioTransport::write_register(uint32_t reg, uint32_t value) {
  uint32_t status = get(kStatus);
  switch (reg) {
    case kDeviceFeaturesSel:
      device_features_sel_ = value;
      put(kDeviceFeatures, value < 2 ? static_cast<uint32_t>(device_->features() >> (32 * value)) : 0);
      break;
    case kDriverFeaturesSel:
      driver_features_sel_ = value;
      break;
    case kDriverFeatures:
      if (!(status & kDriver) || status & kFeaturesOk || driver_features_sel_ > 1) break;
      (driver_features_sel_ ? set_high : set_low)(driver_features_, value);
      break;
    case kQueueSel:
      queue_sel_ = value;
      show_selected_queue();
      break;
    case kQueueNotify:
      // Comes here only for a queue that has no ioeventfd, which no queue of this device is, or from a host without
      // them.
      if (value < queues_.size() && active_) {
        uint64_t one = 1;
        [[maybe_unused]] ssize_t written = ::write(queues_[value].kick.get(), &one, sizeof one);
      }
      break;
    case kInterruptAck:
      __atomic_fetch_and(at(kInterruptStatus), ~value | kUsedBuffer, __ATOMIC_SEQ_CST);
      break;
    case kStatus:
      write_status(value);
      break;
    default:
      // Queue registers belong to the time between the agreement on features and DRIVER_OK (§3.1.1).
      if (status & kFeaturesOk && !(status & kDriverOk)) write_queue_register(reg, value);
      break;
  }
}

void MmioTransport::write_queue_register(uint32_t reg, uint32_t value) {
  if (queue_sel_ >= queues_.size()) return;
  Queue& queue = queues_[queue_sel_];
  if (reg == kQueueReady) {
    queue.ready = value & 1;
    put(kQueueReady, queue.ready);
    return;
  }
  if (queue.ready) return;  // its addresses are in use
  switch (reg) {
    case kQueueNum:
      queue.num = value;
      break;
    case kQueueDescLow:
      set_low(queue.desc, value);
      break;
    case kQueueDescHigh:
      set_high(queue.desc, value);
      break;
    case kQueueDriverLow:
      set_low(queue.avail, value);
      break;
    case kQueueDriverHigh:
      set_high(queue.avail, value);
      break;
    case kQueueDeviceLow:
      set_low(queue.used, value);
      break;
    case kQueueDeviceHigh:
      set_high(queue.used, value);
      break;
    default:
      break;
  }
}

void MmioTransport::write_config(uint32_t offset, uint32_t width, uint64_t value) {
  size_t size = device_->config().size();
  if (offset >= size || width > size - offset || width > 8) return;
  uint8_t bytes[8];
  std::memcpy(bytes, &value, sizeof bytes);
  device_->config_written(offset, bytes, width);
}

// §3.1.1 and §2.1.2: bits are only ever added, in order; 0 resets.
void MmioTransport::write_status(uint32_t value) {
  uint32_t status = get(kStatus);
  if (value == 0) return reset_locked();
  uint32_t known = kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed;
  if ((status & ~kNeedsReset) & ~value) return;  // would clear a bit
  uint32_t added = value & known & ~status;
  if (added & kFeaturesOk) {
    bool in_order = (status | added) & kDriver && (status | added) & kAcknowledge;
    // What was not offered is dropped (§2.2.1 forbids drivers to ask for it); without VERSION_1 there is no agreement.
    driver_features_ &= device_->features();
    if (!in_order || !(driver_features_ >> kFeatureVersion1 & 1)) added &= ~kFeaturesOk;
  }
  if (added & kDriverOk && !((status | added) & kFeaturesOk)) added &= ~kDriverOk;
  if (added & kFailed) added &= ~kDriverOk;
  __atomic_fetch_or(at(kStatus), added, __ATOMIC_SEQ_CST);
  if (!(added & kDriverOk) || status & (kFailed | kNeedsReset)) return;
  if (!activate()) needs_reset();
}

void MmioTransport::reset_locked() {
  if (active_) device_->reset();
  active_ = false;
  clear();
}

void MmioTransport::clear() {
  for (Queue& queue : queues_) {
    queue.num = 0;
    queue.desc = queue.avail = queue.used = 0;
    queue.ready = false;
  }
  driver_features_ = 0;
  queue_sel_ = device_features_sel_ = driver_features_sel_ = 0;
  put(kDeviceFeatures, static_cast<uint32_t>(device_->features()));
  put(kInterruptStatus, 0);
  put(kStatus, 0);
  show_selected_queue();
}

void MmioTransport::show_selected_queue() {
  bool exists = queue_sel_ < queues_.size();
  put(kQueueNumMax, exists ? device_->queue_sizes()[queue_sel_] : 0);
  put(kQueueReady, exists && queues_[queue_sel_].ready);
}

Status MmioTransport::check(const Queue& queue, size_t index) const {
  uint16_t max = device_->queue_sizes()[index];
  if (!std::has_single_bit(queue.num) || queue.num > max)
    return fail("the driver gave queue {} {} entries; a power of two up to {} is allowed", index, queue.num, max);
  // §2.7: the parts' alignments and lengths, event index included.
  struct Part {
    const char* what;
    uint64_t gpa;
    uint64_t alignment;
    uint64_t length;
  } parts[] = {{"descriptor table", queue.desc, 16, 16ull * queue.num},
               {"available ring", queue.avail, 2, 6 + 2ull * queue.num},
               {"used ring", queue.used, 4, 6 + 8ull * queue.num}};
  for (const Part& part : parts) {
    if (part.gpa % part.alignment)
      return fail("the {} of queue {} at {:#x} is not aligned to {}", part.what, index, part.gpa, part.alignment);
    bool in_ram = false;
    for (const MemoryRegion& region : memory_.regions())
      in_ram |= part.gpa >= region.gpa && part.gpa - region.gpa < region.length &&
                part.length <= region.length - (part.gpa - region.gpa);
    if (!in_ram) return fail("the {} of queue {} at {:#x} is not in RAM", part.what, index, part.gpa);
  }
  return {};
}

Result<std::vector<nacre_virtqueue>> MmioTransport::set_up_queues() {
  std::vector<nacre_virtqueue> queues(queues_.size());
  for (size_t i = 0; i < queues_.size(); ++i) {
    const Queue& queue = queues_[i];
    queues[i].size = sizeof(nacre_virtqueue);
    queues[i].index = static_cast<uint16_t>(i);
    queues[i].kick_fd = queues[i].call_fd = -1;
    if (!queue.ready) continue;
    if (Status valid = check(queue, i); !valid) return valid.error();
    queues[i].num = static_cast<uint16_t>(queue.num);
    queues[i].desc = queue.desc;
    queues[i].avail = queue.avail;
    queues[i].used = queue.used;
    queues[i].kick_fd = queue.kick.get();
    queues[i].call_fd = call_.get();
    queues[i].interrupt = on_interrupt;
    queues[i].interrupt_opaque = this;
    // 0 with a driver that has just set it up (§2.7.8); else all that the device before has taken it has given back.
    queues[i].first = used_index(queue);
    queues[i].ready = 1;
  }
  return queues;
}

uint16_t MmioTransport::used_index(const Queue& queue) const {
  uint16_t index = 0;
  memory_.read(queue.used + 2, &index, sizeof index);
  return index;
}

bool MmioTransport::activate() {
  Status made = make_eventfds();
  auto queues = made ? set_up_queues() : made.error();
  if (!queues) {
    device_->driver_failed(queues.error().message);
    return active_ = false;
  }
  nacre_virtio_activation activation{};
  activation.size = sizeof activation;
  activation.n_queues = static_cast<uint32_t>(queues->size());
  activation.queue_size = sizeof(nacre_virtqueue);
  activation.features = driver_features_;
  activation.queues = queues->data();
  put(kInterruptStatus, get(kInterruptStatus) | kUsedBuffer);
  active_ = device_->activate(activation);
  if (!active_) return false;
  // What the driver made available before, be it to the device that was here, had its notification then: Linux's
  // balloon notifies before DRIVER_OK.
  uint64_t one = 1;
  for (Queue& queue : queues_)
    if (queue.ready) [[maybe_unused]]
      ssize_t written = ::write(queue.kick.get(), &one, sizeof one);
  return true;
}

void MmioTransport::set_config(uint32_t offset, const void* data, uint32_t length, bool notify) {
  {
    std::lock_guard lock(config_mutex_);
    // An odd generation while the bytes change: a driver that reads before and after sees two values (§2.5.2).
    put(kConfigGeneration, get(kConfigGeneration) + 1);
    auto* from = static_cast<const uint8_t*>(data);
    for (uint32_t i = 0; i < length; ++i) __atomic_store_n(window_ + kConfig + offset + i, from[i], __ATOMIC_SEQ_CST);
    put(kConfigGeneration, get(kConfigGeneration) + 1);
  }
  if (notify && get(kStatus) & kDriverOk) config_interrupt();
}

void MmioTransport::needs_reset() {
  uint32_t before = __atomic_fetch_or(at(kStatus), kNeedsReset, __ATOMIC_SEQ_CST);
  if (before & kDriverOk) config_interrupt();
}

void MmioTransport::config_interrupt() {
  __atomic_fetch_or(at(kInterruptStatus), kConfigChange, __ATOMIC_SEQ_CST);
  on_interrupt(this);
}

// An irqfd of a line is raised by a worker of the kernel, which two switches of threads precede; setting the line is
// done when the call returns. Up and down of one thread must not lie inside those of another, or an edge is lost:
// whoever comes meanwhile leaves its own to the thread that is at it.
void MmioTransport::on_interrupt(void* self) noexcept {
  auto& me = *static_cast<MmioTransport*>(self);
  if (me.interrupts_.fetch_add(1)) return;
  uint32_t raised;
  do {
    raised = me.interrupts_.load();
    if (me.vm_) {
      (void)me.vm_->set_irq_line(me.gsi_, true);
      (void)me.vm_->set_irq_line(me.gsi_, false);
    } else if (me.call_) {
      uint64_t one = 1;
      [[maybe_unused]] ssize_t written = ::write(me.call_.get(), &one, sizeof one);
    }
  } while (me.interrupts_.fetch_sub(raised) != raised);
}

}  // namespace nacre::virtio
