#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/virtio_driver.hpp>

namespace nacre::fake {
namespace {

constexpr uint64_t kRings = 0x10000;  // of the first queue, and the distance to the next
constexpr uint64_t kAvailOffset = 0x4000, kUsedOffset = 0x8000;
constexpr size_t kMostQueues = kBuffers / kRings - 1;

template <typename T>
void store(uint8_t* at, T value) {
  __atomic_store_n(reinterpret_cast<T*>(at), value, __ATOMIC_SEQ_CST);
}
template <typename T>
T load(const uint8_t* at) {
  return __atomic_load_n(reinterpret_cast<const T*>(at), __ATOMIC_SEQ_CST);
}

}  // namespace

VirtioDriver::VirtioDriver(nacre_instance& instance) : instance_(instance) {
  const auto& sizes = instance.virtio->queue_sizes;
  for (size_t i = 0; i < std::min(sizes.size(), kMostQueues); ++i) {
    const uint64_t base = kRings * (i + 1);
    queues_.push_back({std::min(sizes[i], kEntries), base, base + kAvailOffset, base + kUsedOffset, 0,
                       ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  }
}

VirtioDriver::~VirtioDriver() {
  reset();
  for (Queue& queue : queues_) ::close(queue.kick), ::close(queue.call);
}

void VirtioDriver::on_interrupt(void* opaque) noexcept {
  ++static_cast<VirtioDriver*>(opaque)->interrupts_;
}

nacre_status VirtioDriver::activate(uint64_t features, nacre_error* slot) {
  std::vector<nacre_virtqueue> queues;
  for (Queue& queue : queues_) {
    std::memset(instance_.memory.at(queue.desc, kRings), 0, kRings);
    queue.offered = 0;
    nacre_virtqueue shown{};
    shown.size = sizeof shown;
    shown.index = static_cast<uint16_t>(queues.size());
    shown.num = queue.num;
    shown.desc = queue.desc, shown.avail = queue.avail, shown.used = queue.used;
    shown.kick_fd = queue.kick, shown.call_fd = queue.call;
    shown.interrupt = on_interrupt, shown.interrupt_opaque = this;
    shown.ready = 1;
    queues.push_back(shown);
  }
  nacre_virtio_activation activation{};
  activation.size = sizeof activation;
  activation.n_queues = static_cast<uint32_t>(queues.size());
  activation.queue_size = sizeof(nacre_virtqueue);
  activation.features = features & instance_.virtio->features;
  activation.queues = queues.data();
  nacre_virtio& virtio = *instance_.virtio;
  virtio.broken.clear();
  const nacre_status status = virtio.ops.activate(virtio.self, &activation, slot);
  active_ = status == NACRE_OK;
  return status;
}

void VirtioDriver::reset() {
  if (active_ && instance_.virtio) instance_.virtio->ops.reset(instance_.virtio->self);
  active_ = false;
}

VirtioDriver::Descriptor* VirtioDriver::table(size_t queue) const {
  return reinterpret_cast<Descriptor*>(instance_.memory.at(queues_[queue].desc, 16ull * queues_[queue].num));
}

void VirtioDriver::offer(size_t index, uint16_t head) {
  Queue& queue = queues_[index];
  uint8_t* avail = instance_.memory.at(queue.avail, 6 + 2ull * queue.num);
  store<uint16_t>(avail + 4 + 2u * (queue.offered & (queue.num - 1u)), head);
  set_available(index, static_cast<uint16_t>(queue.offered + 1));
}

void VirtioDriver::set_available(size_t index, uint16_t available) {
  Queue& queue = queues_[index];
  queue.offered = available;
  store<uint16_t>(instance_.memory.at(queue.avail, 4) + 2, available);
  kick(index);
}

void VirtioDriver::kick(size_t index) {
  ::eventfd_write(queues_[index].kick, 1);
}

uint16_t VirtioDriver::used(size_t index) const {
  return load<uint16_t>(instance_.memory.at(queues_[index].used, 4) + 2);
}

std::pair<uint32_t, uint32_t> VirtioDriver::used_entry(size_t index, uint16_t n) const {
  const Queue& queue = queues_[index];
  const uint8_t* entry = instance_.memory.at(queue.used, 6 + 8ull * queue.num) + 4 + 8u * (n & (queue.num - 1u));
  return {load<uint32_t>(entry), load<uint32_t>(entry + 4)};
}

}  // namespace nacre::fake
