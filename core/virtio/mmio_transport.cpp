#include "core/virtio/mmio_transport.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/loop/lock_and_serve.hpp"

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

constexpr uint32_t kMagicValue = 0x74726976;

}  // namespace

MmioTransport::MmioTransport(kvm::Vm* vm, GuestMemory& memory, uint8_t* window, uint64_t base)
    : NegotiatedTransport(memory, {reinterpret_cast<uint32_t*>(window + kStatus),
                                   reinterpret_cast<uint32_t*>(window + kInterruptStatus),
                                   reinterpret_cast<uint32_t*>(window + kConfigGeneration), window + kConfig}),
      vm_(vm),
      window_(window),
      base_(base) {
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
  ServingLock lock(mutex_);
  gsi_ = gsi;
  attach(device);
  put(kDeviceId, device.device_id());
  return {};
}

void MmioTransport::unplug() {
  ServingLock lock(mutex_);
  if (!device_) return;
  reset_locked();
  put(kDeviceId, 0);
  detach();
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
  ServingLock lock(mutex_);
  VirtioDevice& old = *device_;
  if (get(kStatus) == 0) {  // no driver has seen it
    old.plug_into(nullptr);
    drop_eventfds();
    attach(device);
    return {};
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
  device.plug_into(this);
  if (get(kStatus) & kDriverOk) config_interrupt();
  return {};
}

// On the first activation, so that a slot whose driver never comes costs nothing; they stay until the device is
// unplugged, since each change makes KVM wait for the running vCPUs.
Status MmioTransport::make_eventfds() {
  put(kInterruptStatus, get(kInterruptStatus) | kUsedBuffer);
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
  MutexLock lock(mutex_);
  if (!device_) return;
  if (offset >= kConfig)
    write_config(offset - kConfig, width, value);
  else if (width == 4 && offset % 4 == 0)
    write_register(offset, static_cast<uint32_t>(value));
}

void MmioTransport::write_register(uint32_t reg, uint32_t value) {
  switch (reg) {
    case kDeviceFeaturesSel:
      device_features_sel_ = value;
      put(kDeviceFeatures, value < 2 ? static_cast<uint32_t>(device_->features() >> (32 * value)) : 0);
      break;
    case kDriverFeaturesSel:
      driver_features_sel_ = value;
      break;
    case kDriverFeatures:
      write_features(driver_features_sel_, value);
      break;
    case kQueueSel:
      queue_sel_ = value;
      show_selected_queue();
      break;
    case kQueueNotify:
      // Comes here only for a queue that has no ioeventfd, which no queue of this device is, or from a host without
      // them.
      kick(value);
      break;
    case kInterruptAck:
      __atomic_fetch_and(at(kInterruptStatus), ~value | kUsedBuffer, __ATOMIC_SEQ_CST);
      break;
    case kStatus:
      write_status(value);
      break;
    default:
      if (may_set_up()) write_queue_register(reg, value);
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

void MmioTransport::cleared() {
  queue_sel_ = device_features_sel_ = driver_features_sel_ = 0;
  put(kDeviceFeatures, static_cast<uint32_t>(device_->features()));
  show_selected_queue();
}

void MmioTransport::show_selected_queue() {
  bool exists = queue_sel_ < queues_.size();
  put(kQueueNumMax, exists ? device_->queue_sizes()[queue_sel_] : 0);
  put(kQueueReady, exists && queues_[queue_sel_].ready);
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
