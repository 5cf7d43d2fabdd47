#include "core/virtio/negotiation.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/loop/lock_and_serve.hpp"

namespace nacre::virtio {

void NegotiatedTransport::attach(VirtioDevice& device) {
  queues_.clear();
  queues_.resize(device.queue_sizes().size());
  device_ = &device;
  clear();
  device.plug_into(this);
}

void NegotiatedTransport::detach() {
  device_->plug_into(nullptr);
  std::memset(shown_.config, 0, NACRE_VIRTIO_CONFIG_MAX);
  drop_eventfds();
  queues_.clear();
  device_ = nullptr;
}

void NegotiatedTransport::reset() {
  ServingLock lock(mutex_);
  if (device_) reset_locked();
}

void NegotiatedTransport::bus_is_reset() {
  ServingLock lock(mutex_);
  if (device_) driver_resets();
}

void NegotiatedTransport::write_features(uint32_t half, uint32_t value) {
  if (!(status() & kDriver) || status() & kFeaturesOk || half > 1) return;
  // What was not offered is dropped (§2.2.1 forbids drivers to ask for it).
  (half ? set_high : set_low)(driver_features_, value & static_cast<uint32_t>(device_->features() >> (32 * half)));
}

void NegotiatedTransport::write_config(uint32_t offset, uint32_t width, uint64_t value) {
  size_t size = device_->config_size();
  if (offset >= size || width > size - offset || width > 8) return;
  uint8_t bytes[8];
  std::memcpy(bytes, &value, sizeof bytes);
  device_->config_written(offset, bytes, width);
}

// §3.1.1 and §2.1.2: bits are only ever added; 0 resets. A driver that leaves a step out reads back what it wrote, and
// its device stays inactive.
void NegotiatedTransport::write_status(uint32_t value) {
  uint32_t before = status();
  if (resetting_) return;
  if (value == 0) return driver_resets();
  uint32_t known = kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed;
  if ((before & ~kNeedsReset) & ~value) return;  // would clear a bit
  uint32_t added = value & known & ~before;
  if (added & kFeaturesOk) {
    driver_features_ &= device_->features();  // the device may be another by now
    // Without VERSION_1 there is no agreement.
    if (!(driver_features_ >> kFeatureVersion1 & 1)) added &= ~kFeaturesOk;
  }
  __atomic_fetch_or(shown_.status, added, __ATOMIC_SEQ_CST);
  constexpr uint32_t kAgreed = kAcknowledge | kDriver | kFeaturesOk;
  const uint32_t after = before | added;
  if (!(added & kDriverOk) || (after & kAgreed) != kAgreed || after & (kFailed | kNeedsReset)) return;
  if (!activate()) needs_reset();
}

void NegotiatedTransport::kick(uint32_t queue) {
  if (queue >= queues_.size() || !active_) return;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(queues_[queue].kick.get(), &one, sizeof one);
}

// What is under way at the host ends before the driver has its memory back, and a host may take its time. The loops
// serve others meanwhile: a driver that looks at the status waits by itself; for one that takes its write for the
// reset, its vCPU waits.
void NegotiatedTransport::driver_resets() {
  if (!active_) return reset_locked();
  if (driver_waits()) {
    resetting_ = !device_->hold([this] { finish_reset(); }, this);
    if (resetting_) return;
  } else if (!EventLoop::current()) {
    device_->wait_settled();
  }
  reset_locked();
}

void NegotiatedTransport::finish_reset() {
  ServingLock lock(mutex_);
  if (resetting_ && device_->hold([this] { finish_reset(); }, this)) reset_locked();
}

void NegotiatedTransport::reset_locked() {
  if (active_) device_->reset();
  active_ = resetting_ = false;
  clear();
}

void NegotiatedTransport::clear() {
  for (uint32_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = queues_[i];
    queue.num = first_size(i);
    queue.desc = queue.avail = queue.used = 0;
    queue.ready = false;
  }
  driver_features_ = 0;
  {
    MutexLock lock(config_mutex_);
    store(shown_.generation, 0);
  }
  store(shown_.interrupt_status, 0);
  store(shown_.status, 0);
  cleared();
}

Status NegotiatedTransport::check(const Queue& queue, size_t index) const {
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

Result<std::vector<nacre_virtqueue>> NegotiatedTransport::set_up_queues() {
  std::vector<nacre_virtqueue> queues(queues_.size());
  for (uint32_t i = 0; i < queues_.size(); ++i) {
    const Queue& queue = queues_[i];
    queues[i].size = sizeof(nacre_virtqueue);
    queues[i].index = static_cast<uint16_t>(i);
    queues[i].kick_fd = queues[i].call_fd = -1;
    if (!queue.ready) continue;
    if (Status valid = check(queue, i); !valid) return valid.error();
    const Interrupt interrupt = interrupt_of(i);
    queues[i].num = static_cast<uint16_t>(queue.num);
    queues[i].desc = queue.desc;
    queues[i].avail = queue.avail;
    queues[i].used = queue.used;
    queues[i].kick_fd = queue.kick.get();
    queues[i].call_fd = interrupt.call_fd;
    queues[i].interrupt = interrupt.raise;
    queues[i].interrupt_opaque = interrupt.opaque;
    // 0 with a driver that has just set it up (§2.7.8); else all that the device before has taken it has given back.
    queues[i].first = used_index(queue);
    queues[i].ready = 1;
  }
  return queues;
}

uint16_t NegotiatedTransport::used_index(const Queue& queue) const {
  uint16_t index = 0;
  memory_.read(queue.used + 2, &index, sizeof index);
  return index;
}

bool NegotiatedTransport::activate() {
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
  active_ = device_->activate(activation);
  if (!active_) return false;
  // What the driver made available before, be it to the device that was here, had its notification then: Linux's
  // balloon notifies before DRIVER_OK.
  for (uint32_t i = 0; i < queues_.size(); ++i)
    if (queues_[i].ready) kick(i);
  return true;
}

// An odd generation while the bytes change: a driver that reads before and after sees two values (§2.5.2).
void NegotiatedTransport::change_config(uint32_t offset, std::span<const uint8_t> bytes) {
  MutexLock lock(config_mutex_);
  store(shown_.generation, load(shown_.generation) + 1);
  for (size_t i = 0; i < bytes.size(); ++i) __atomic_store_n(shown_.config + offset + i, bytes[i], __ATOMIC_SEQ_CST);
  store(shown_.generation, load(shown_.generation) + 1);
}

void NegotiatedTransport::show_config(std::span<const uint8_t> bytes) {
  std::array<uint8_t, NACRE_VIRTIO_CONFIG_MAX> all{};
  std::copy(bytes.begin(), bytes.end(), all.begin());
  change_config(0, all);
  // To a driver that comes later it is as after a reset.
  if (load(shown_.status)) return;
  MutexLock lock(config_mutex_);
  store(shown_.generation, 0);
}

void NegotiatedTransport::set_config(uint32_t offset, const void* data, uint32_t length, bool notify) {
  change_config(offset, {static_cast<const uint8_t*>(data), length});
  if (notify && status() & kDriverOk) config_interrupt();
}

void NegotiatedTransport::needs_reset() {
  uint32_t before = status();
  do {
    // It has just been reset, or no driver has come yet: a driver waits for 0 after a reset, and might wait for ever.
    // And once is enough: the interrupt tells that the bit was set (§2.1.2).
    if (before == 0 || before & kNeedsReset) return;
  } while (!__atomic_compare_exchange_n(shown_.status, &before, before | kNeedsReset, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST));
  if (before & kDriverOk) config_interrupt();
}

}  // namespace nacre::virtio
