// What a device sees of its guest: memory, interrupt lines, I/O ranges, its virtio bus.
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/host.hpp>

#include "tables.hpp"

namespace nacre::fake {
namespace {

const nacre_memory_view* acquire(nacre_instance* instance) noexcept {
  return instance->memory.acquire();
}
void release(nacre_instance* instance, const nacre_memory_view* view) noexcept {
  instance->memory.release(view);
}
void mark_dirty(nacre_instance*, uint64_t, uint64_t) noexcept {}

nacre_status read_memory(nacre_instance* instance, uint64_t gpa, void* to, uint64_t length) noexcept {
  const uint8_t* from = instance->memory.at(gpa, length);
  if (!from) return NACRE_INVALID;
  std::memcpy(to, from, length);
  return NACRE_OK;
}

nacre_status write_memory(nacre_instance* instance, uint64_t gpa, const void* from, uint64_t length) noexcept {
  uint8_t* to = instance->memory.at(gpa, length);
  if (!to) return NACRE_INVALID;
  std::memcpy(to, from, length);
  return NACRE_OK;
}

nacre_status on_change(nacre_instance* instance, nacre_callback changed, void* opaque) noexcept {
  main_only("memory.on_change");
  instance->memory_changed = changed;
  instance->memory_changed_opaque = opaque;
  return NACRE_OK;
}

nacre_status discard(nacre_instance* instance, uint64_t gpa, uint64_t length) noexcept {
  uint8_t* at = instance->memory.at(gpa, length);
  if (!at) return NACRE_INVALID;
  if (instance->pins) return NACRE_BUSY;
  std::memset(at, 0, length);
  return NACRE_OK;
}

nacre_status pin(nacre_instance* instance, nacre_error*) noexcept {
  main_only("memory.pin");
  ++instance->pins;
  return NACRE_OK;
}
void unpin(nacre_instance* instance) noexcept {
  main_only("memory.unpin");
  if (instance->pins == 0) return offend("memory.unpin without a pin");
  --instance->pins;
}

nacre_status connect(nacre_instance* instance, uint32_t gsi, nacre_irq** irq, nacre_error* slot) noexcept {
  main_only("irq.connect");
  constexpr uint32_t kLines = 24;
  if (gsi >= kLines) return say(slot, NACRE_NOT_FOUND, "there is no interrupt line " + std::to_string(gsi) + ".");
  *irq = &instance->irqs.emplace_back(nacre_irq{instance, gsi});
  return NACRE_OK;
}
void disconnect(nacre_irq* irq) noexcept {
  main_only("irq.disconnect");
  if (irq->fd >= 0) ::close(irq->fd);
  irq->instance->irqs.remove_if([&](auto& one) { return &one == irq; });
}
void set_irq(nacre_irq* irq, uint32_t level) noexcept {
  if (level > 1) offend("irq.set with a level that is neither 0 nor 1");
  if (level && !irq->level) ++irq->edges;
  irq->level = level;
}
void pulse(nacre_irq* irq) noexcept {
  ++irq->edges;
}
int32_t irqfd(nacre_irq* irq) noexcept {
  main_only("irq.irqfd");
  if (irq->fd < 0) irq->fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return irq->fd;
}

nacre_status claim(nacre_instance* instance, uint32_t space, uint64_t base, uint64_t length, uint32_t flags,
                   const nacre_mmio_ops* ops, void* opaque, nacre_mmio_region** region, nacre_error* slot) noexcept {
  main_only("mmio.claim");
  if (space != NACRE_SPACE_MMIO && space != NACRE_SPACE_PIO)
    return say(slot, NACRE_INVALID, "the address space is unknown.");
  if (length == 0 || base + length - 1 < base) return say(slot, NACRE_INVALID, "the range is empty or wraps.");
  if (flags & NACRE_MUST_UNDERSTAND & ~uint32_t{NACRE_MMIO_SERIALIZE})
    return say(slot, NACRE_UNSUPPORTED, "a flag of the range is unknown.");
  nacre_mmio_region made{instance, space, base, length, {}, opaque, {}};
  std::memcpy(&made.ops, ops, std::min<size_t>(ops->size, sizeof made.ops));
  instance->regions.push_back(std::move(made));
  *region = &instance->regions.back();
  return NACRE_OK;
}
void release_region(nacre_mmio_region* region) noexcept {
  main_only("mmio.release");
  for (int fd : region->ioeventfds) ::close(fd);
  region->instance->regions.remove_if([&](auto& one) { return &one == region; });
}
nacre_status ioeventfd(nacre_mmio_region* region, uint64_t offset, uint32_t width, uint8_t, uint64_t, int32_t* fd,
                       nacre_error* slot) noexcept {
  main_only("mmio.ioeventfd");
  if (offset + width > region->length) return say(slot, NACRE_INVALID, "the ioeventfd is outside its range.");
  *fd = region->ioeventfds.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return NACRE_OK;
}

nacre_status map(nacre_mmio_region* region, void* memory, uint64_t length, nacre_error* slot) noexcept {
  if (region->space != NACRE_SPACE_MMIO || length > region->length || (memory && length == 0) ||
      (region->base | length | reinterpret_cast<uintptr_t>(memory)) % 4096 != 0)
    return say(slot, NACRE_INVALID, "what is mapped is not whole pages of a memory-mapped range.");
  region->mapped = {static_cast<uint8_t*>(memory), memory ? length : 0};
  return NACRE_OK;
}

nacre_status attach(nacre_instance* instance, const nacre_virtio_desc* desc, void* self, nacre_virtio** virtio,
                    nacre_error* slot) noexcept {
  main_only("virtio.attach");
  if (instance->virtio) return say(slot, NACRE_INVALID, "it is a virtio device already.");
  if (desc->config_size > NACRE_VIRTIO_CONFIG_MAX) return say(slot, NACRE_INVALID, "its configuration is too long.");
  for (uint32_t i = 0; i < desc->n_queues; ++i) {
    const uint16_t size = desc->queue_sizes[i];
    if (size == 0 || size & (size - 1)) return say(slot, NACRE_INVALID, "a queue's size is no power of two.");
  }
  auto made = std::make_unique<nacre_virtio>();
  made->instance = instance;
  made->self = self;
  made->ops = {};
  std::memcpy(&made->ops, desc->ops, std::min<size_t>(desc->ops->size, sizeof made->ops));
  made->device_id = desc->device_id;
  made->features = desc->features | uint64_t{1} << 32;
  made->queue_sizes.assign(desc->queue_sizes, desc->queue_sizes + desc->n_queues);
  made->config.assign(desc->config, desc->config + desc->config_size);
  instance->virtio = std::move(made);
  *virtio = instance->virtio.get();
  return NACRE_OK;
}
void detach(nacre_virtio* virtio) noexcept {
  main_only("virtio.detach");
  virtio->instance->virtio.reset();
}
void set_config(nacre_virtio* virtio, uint32_t offset, const void* data, uint32_t length, uint8_t notify) noexcept {
  if (offset > virtio->config.size() || length > virtio->config.size() - offset)
    return offend("virtio.set_config outside the configuration");
  std::memcpy(virtio->config.data() + offset, data, length);
  if (notify) ++virtio->config_interrupts;
}
void needs_reset(nacre_virtio* virtio, const char* reason) noexcept {
  if (virtio->broken.empty()) virtio->broken = reason && *reason ? reason : "(no reason was given)";
}

}  // namespace

const nacre_memory_v1 kMemory{sizeof(nacre_memory_v1),
                              0,
                              acquire,
                              release,
                              mark_dirty,
                              read_memory,
                              write_memory,
                              on_change,
                              discard,
                              pin,
                              unpin};
const nacre_irq_v1 kIrq{sizeof(nacre_irq_v1), 0, connect, disconnect, set_irq, pulse, irqfd};
const nacre_mmio_v1 kMmio{sizeof(nacre_mmio_v1), 0, claim, release_region, ioeventfd, map};
const nacre_virtio_v1 kVirtio{sizeof(nacre_virtio_v1), 0, attach, detach, set_config, needs_reset};

}  // namespace nacre::fake
