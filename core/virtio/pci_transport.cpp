#include "core/virtio/pci_transport.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/loop/lock_and_serve.hpp"
#include "core/virtio/pci_function.hpp"

namespace nacre::virtio {
namespace {

// The common configuration, virtio 1.2 §4.1.4.3.
enum Register : uint32_t {
  kDeviceFeatureSelect = 0x00,
  kDeviceFeature = 0x04,
  kDriverFeatureSelect = 0x08,
  kDriverFeature = 0x0c,
  kConfigVector = 0x10,
  kNumQueues = 0x12,
  kDeviceStatus = 0x14,
  kConfigGeneration = 0x15,
  kQueueSelect = 0x16,
  kQueueSize = 0x18,
  kQueueVector = 0x1a,
  kQueueEnable = 0x1c,
  kQueueNotifyOff = 0x1e,
  kQueueDesc = 0x20,
  kQueueDriver = 0x28,
  kQueueDevice = 0x30,
  kQueueEnd = 0x38,
};

constexpr uint32_t kNotifyMultiplier = 4;

// The width of a register: the only one with which a driver may access it (§4.1.3.1); addresses go in two halves.
uint32_t width_of(uint32_t offset) {
  switch (offset) {
    case kConfigVector:
    case kNumQueues:
    case kQueueSelect:
    case kQueueSize:
    case kQueueVector:
    case kQueueEnable:
    case kQueueNotifyOff:
      return 2;
    case kDeviceStatus:
    case kConfigGeneration:
      return 1;
    default:
      return 4;
  }
}

// Some drivers take a register of 32 bits by parts all the same; `width` is less than 4.
uint32_t mask_of(uint32_t width) {
  return (1u << (8 * width)) - 1;
}
bool is_part(uint32_t offset, uint32_t width) {
  return width < 4 && offset < kQueueEnd && (offset & 3) + width <= 4 && width_of(offset & ~3u) == 4;
}

}  // namespace

PciTransport::PciTransport(pci::PciHost& host, GuestMemory& memory, VirtioDevice& device)
    : NegotiatedTransport(memory, {&status_word_, &interrupt_status_, &generation_, config_}),
      host_(host),
      owner_(device),
      calls_(new Call[device.queue_sizes().size()]) {
  config_call_.transport = this;
  for (size_t i = 0; i < device.queue_sizes().size(); ++i) calls_[i].transport = this;
}

Result<std::unique_ptr<PciTransport>> PciTransport::create(pci::PciHost& host, GuestMemory& memory,
                                                           VirtioDevice& device) {
  auto transport = std::unique_ptr<PciTransport>(new PciTransport(host, memory, device));
  transport->function_ = std::make_unique<Function>(*transport);
  const auto vectors = static_cast<uint32_t>(device.queue_sizes().size()) + 1;
  if (Status built = transport->function_->build(vectors); !built) return built.error();
  return transport;
}

PciTransport::~PciTransport() {
  unplug();
}

pci::PciFunction& PciTransport::function() {
  return *function_;
}

void PciTransport::plug(pci::PciBus& bus, uint8_t devfn, bool hot) {
  {
    ServingLock lock(mutex_);
    attach(owner_);
  }
  host_.plug(bus, devfn, *function_, hot);
}

void PciTransport::unplug() {
  if (!function_->bus()) return;
  host_.unplug(*function_);  // no vCPU comes in any more
  {
    ServingLock lock(mutex_);
    reset_locked();
    detach();
  }
  // A reset that had to wait is done. Not with the lock, which it takes.
  owner_.loop().drop(static_cast<NegotiatedTransport*>(this));
}

// On the first activation; they stay until the device is unplugged, as their changes make KVM wait for the vCPUs.
Status PciTransport::make_eventfds() {
  std::vector<std::pair<pci::VectorFd*, uint32_t>> followed;
  for (size_t i = 0; i < queues_.size(); ++i) {
    if (!queues_[i].kick) queues_[i].kick = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!queues_[i].kick) return fail("no eventfd: {}", strerror(errno));
    if (!calls_[i].fd) {
      auto fd = pci::VectorFd::create(*function_->msix());
      if (!fd) return fd.error();
      calls_[i].fd = std::move(*fd);
    }
    followed.emplace_back(calls_[i].fd.get(), calls_[i].vector.load());
  }
  function_->msix()->follow(followed);
  tie_notifications();
  if (!function_->msix()->enabled()) watch_calls();
  return {};
}

void PciTransport::drop_eventfds() {
  unwatch_calls();
  untie_notifications();
  for (size_t i = 0; i < queues_.size(); ++i) {
    calls_[i].fd.reset();
    queues_[i].kick.close();
  }
}

// Of any width, without a look at the value: the address says which queue it is (§4.1.4.4), and KVM has a quick way for
// those.
void PciTransport::tie_notifications() {
  if (tied_ || !base_ || !host_.vm() || queues_.empty() || !queues_[0].kick) return;
  tied_ = true;
  for (size_t i = 0; i < queues_.size(); ++i) {
    const uint64_t address = *base_ + kNotify * kPartBytes + kNotifyMultiplier * i;
    if (Status added = host_.vm()->add_ioeventfd({.address = address}, queues_[i].kick.get()); !added)
      untied_.warn("virtio", "{}: {}", owner_.name(), added.error().message);  // its writes come to write() then
  }
}

void PciTransport::untie_notifications() {
  if (!tied_) return;
  tied_ = false;
  for (size_t i = 0; i < queues_.size(); ++i)
    (void)host_.vm()->remove_ioeventfd({.address = *base_ + kNotify * kPartBytes + kNotifyMultiplier * i},
                                       queues_[i].kick.get());
}

void PciTransport::move_notifications(std::optional<uint64_t> base) {
  ServingLock lock(mutex_);
  untie_notifications();
  base_ = base;
  tie_notifications();
}

// Without MSI-X, signals of the queues' eventfds become INTx here. Which of both a driver uses it settles before
// DRIVER_OK.
void PciTransport::watch_calls() {
  host_.loop().call([this, n = queues_.size()] {
    for (size_t i = 0; i < n; ++i) {
      Call& call = calls_[i];
      if (call.watch) continue;
      auto watch = host_.loop().watch(call.fd->fd(), EventLoop::kRead, [&call](uint32_t) {
        uint64_t count;
        [[maybe_unused]] ssize_t drained = ::read(call.fd->fd(), &count, sizeof count);
        on_interrupt(&call);
      });
      if (watch) call.watch = *watch;
    }
  });
}

void PciTransport::unwatch_calls() {
  if (queues_.empty() || !calls_[0].watch) return;
  host_.loop().call([this, n = queues_.size()] {
    for (size_t i = 0; i < n; ++i)
      if (calls_[i].watch) host_.loop().unwatch(std::exchange(calls_[i].watch, nullptr));
  });
}

void PciTransport::cleared() {
  device_features_sel_ = driver_features_sel_ = 0;
  queue_sel_ = 0;
  config_call_.vector = kNoVector;
  unwatch_calls();
  for (size_t i = 0; i < queues_.size(); ++i) {
    calls_[i].vector = kNoVector;
    if (!calls_[i].fd) continue;
    calls_[i].fd->follow(kNoVector);
    uint64_t count;
    [[maybe_unused]] ssize_t drained = ::read(calls_[i].fd->fd(), &count, sizeof count);
  }
  function_->set_intx(false);
}

uint64_t PciTransport::read(uint64_t offset, uint32_t width) {
  const auto inside = static_cast<uint32_t>(offset % kPartBytes);
  switch (offset / kPartBytes) {
    case kCommon: {
      MutexLock lock(mutex_);
      if (!device_) return 0;
      if (width == 8) return read_common(inside, 4) | read_common(inside + 4, 4) << 32;
      return read_common(inside, width);
    }
    case kIsr:
      return inside == 0 ? read_interrupt_status() : 0;
    case kDevice: {
      uint64_t value = 0;
      for (uint32_t i = 0; i < width && inside + i < NACRE_VIRTIO_CONFIG_MAX; ++i)
        value |= uint64_t{__atomic_load_n(config_ + inside + i, __ATOMIC_SEQ_CST)} << (8 * i);
      return value;
    }
    default:
      return 0;
  }
}

void PciTransport::write(uint64_t offset, uint32_t width, uint64_t value) {
  const auto inside = static_cast<uint32_t>(offset % kPartBytes);
  MutexLock lock(mutex_);
  if (!device_) return;
  switch (offset / kPartBytes) {
    case kCommon:
      write_common(inside, std::min(width, 4u), static_cast<uint32_t>(value));
      if (width == 8) write_common(inside + 4, 4, static_cast<uint32_t>(value >> 32));
      break;
    case kDevice:
      write_config(inside, width, value);
      break;
    case kNotify:
      // Comes here only where no ioeventfd is: from a host without them, or through the access capability.
      if (inside % kNotifyMultiplier == 0) kick(inside / kNotifyMultiplier);
      break;
    default:
      break;
  }
}

uint64_t PciTransport::read_common(uint32_t offset, uint32_t width) {
  if (is_part(offset, width)) return read_common(offset & ~3u, 4) >> (8 * (offset & 3)) & mask_of(width);
  if (width != width_of(offset)) return 0;
  const bool exists = queue_sel_ < queues_.size();
  switch (offset) {
    case kDeviceFeatureSelect:
      return device_features_sel_;
    case kDeviceFeature:
      return device_features_sel_ < 2 ? static_cast<uint32_t>(device_->features() >> (32 * device_features_sel_)) : 0;
    case kDriverFeatureSelect:
      return driver_features_sel_;
    case kDriverFeature:
      return driver_features_sel_ < 2 ? static_cast<uint32_t>(driver_features_ >> (32 * driver_features_sel_)) : 0;
    case kConfigVector:
      return config_call_.vector.load();
    case kNumQueues:
      return queues_.size();
    case kDeviceStatus:
      return status();
    case kConfigGeneration:
      return load(&generation_) & 0xff;
    case kQueueSelect:
      return queue_sel_;
    default:
      break;
  }
  if (!exists) return offset == kQueueVector ? kNoVector : 0;  // §4.1.4.3.1: its size reads as 0
  const Queue& queue = queues_[queue_sel_];
  switch (offset) {
    case kQueueSize:
      return queue.num;
    case kQueueVector:
      return calls_[queue_sel_].vector.load();
    case kQueueEnable:
      return queue.ready;
    case kQueueNotifyOff:
      return queue_sel_;
    case kQueueDesc:
      return static_cast<uint32_t>(queue.desc);
    case kQueueDesc + 4:
      return queue.desc >> 32;
    case kQueueDriver:
      return static_cast<uint32_t>(queue.avail);
    case kQueueDriver + 4:
      return queue.avail >> 32;
    case kQueueDevice:
      return static_cast<uint32_t>(queue.used);
    case kQueueDevice + 4:
      return queue.used >> 32;
    default:
      return 0;
  }
}

void PciTransport::write_common(uint32_t offset, uint32_t width, uint32_t value) {
  if (is_part(offset, width)) {
    const uint32_t shift = 8 * (offset & 3), mask = mask_of(width) << shift;
    const auto whole = static_cast<uint32_t>(read_common(offset & ~3u, 4));
    return write_common(offset & ~3u, 4, (whole & ~mask) | (value << shift & mask));
  }
  if (width != width_of(offset)) return;
  switch (offset) {
    case kDeviceFeatureSelect:
      device_features_sel_ = value;
      break;
    case kDriverFeatureSelect:
      driver_features_sel_ = value;
      break;
    case kDriverFeature:
      write_features(driver_features_sel_, value);
      break;
    case kConfigVector:
      set_vector(config_call_, value);
      break;
    case kDeviceStatus:
      write_status(value);
      break;
    case kQueueSelect:
      queue_sel_ = static_cast<uint16_t>(value);
      break;
    case kQueueVector:
      if (queue_sel_ < queues_.size()) set_vector(calls_[queue_sel_], value);
      break;
    default:
      if (offset < kQueueEnd && queue_sel_ < queues_.size() && may_set_up()) write_queue(offset, width, value);
      break;
  }
}

void PciTransport::write_queue(uint32_t offset, uint32_t, uint32_t value) {
  Queue& queue = queues_[queue_sel_];
  if (queue.ready) return;  // it ends with a reset only (§4.1.4.3.2)
  switch (offset) {
    case kQueueSize:
      queue.num = value;
      break;
    case kQueueEnable:
      queue.ready = value == 1;
      break;
    case kQueueDesc:
      set_low(queue.desc, value);
      break;
    case kQueueDesc + 4:
      set_high(queue.desc, value);
      break;
    case kQueueDriver:
      set_low(queue.avail, value);
      break;
    case kQueueDriver + 4:
      set_high(queue.avail, value);
      break;
    case kQueueDevice:
      set_low(queue.used, value);
      break;
    case kQueueDevice + 4:
      set_high(queue.used, value);
      break;
    default:
      break;
  }
}

// §4.1.5.1.2.1: a vector that does not exist reads back as none.
void PciTransport::set_vector(Call& call, uint32_t vector) {
  call.vector = vector < function_->msix()->vectors() ? static_cast<uint16_t>(vector) : kNoVector;
  if (call.fd) call.fd->follow(call.vector);
}

// §4.1.4.5: reading clears it and ends the INTx signal, unless there is a new reason for it meanwhile.
uint32_t PciTransport::read_interrupt_status() {
  const uint32_t was = __atomic_exchange_n(&interrupt_status_, 0, __ATOMIC_SEQ_CST);
  function_->set_intx(false);
  if (load(&interrupt_status_)) function_->set_intx(true);
  return was;
}

void PciTransport::raise_line(uint32_t why) {
  __atomic_fetch_or(&interrupt_status_, why, __ATOMIC_SEQ_CST);
  function_->set_intx(true);
}

void PciTransport::config_interrupt() {
  pci::Msix& msix = *function_->msix();
  if (!msix.enabled()) return raise_line(kConfigChange);
  __atomic_fetch_or(&interrupt_status_, kConfigChange, __ATOMIC_SEQ_CST);  // with MSI-X too (§4.1.4.5.1)
  msix.notify(config_call_.vector.load());
}

void PciTransport::on_interrupt(void* self) noexcept {
  auto& call = *static_cast<Call*>(self);
  pci::Msix& msix = *call.transport->function_->msix();
  if (msix.enabled())
    msix.notify(call.vector.load());
  else
    call.transport->raise_line(kUsedBuffer);
}

}  // namespace nacre::virtio
