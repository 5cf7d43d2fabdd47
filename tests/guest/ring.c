#include "ring.h"

#include "machine.h"
#include "memory.h"

static struct {
  struct ring_desc desc[RING_MAX_SIZE];
  u16 avail[RING_MAX_SIZE + 3] __attribute__((aligned(16)));
  u16 used[4 * RING_MAX_SIZE + 3] __attribute__((aligned(16)));
} storage[RING_MAX_QUEUES] __attribute__((aligned(4096)));

bool ring_setup(struct ring* ring, const struct virtio_mmio* device, u16 index, u16 size, bool event_idx) {
  *ring = (struct ring){.device = device, .index = index, .size = size, .event_idx = event_idx};
  zero_memory(storage[index].desc, size * sizeof(struct ring_desc));
  zero_memory(storage[index].avail, (size + 3u) * 2);
  zero_memory(storage[index].used, (4u * size + 3) * 2);
  ring->desc = storage[index].desc;
  ring->avail = storage[index].avail;
  ring->used = storage[index].used;
  ring->free_count = size;
  for (u16 i = 0; i < size; ++i) ring->desc[i].next = (u16)(i + 1);
  ring_program(device, index, size, physical(ring->desc), physical(ring->avail), physical(ring->used));
  return virtio_read(device, MMIO_QUEUE_READY) == 1;
}

void ring_program(const struct virtio_mmio* device, u16 index, u32 size, u64 desc, u64 avail, u64 used) {
  virtio_write(device, MMIO_QUEUE_SEL, index);
  virtio_write(device, MMIO_QUEUE_NUM, size);
  virtio_write(device, MMIO_QUEUE_DESC_LOW, (u32)desc);
  virtio_write(device, MMIO_QUEUE_DESC_HIGH, (u32)(desc >> 32));
  virtio_write(device, MMIO_QUEUE_DRIVER_LOW, (u32)avail);
  virtio_write(device, MMIO_QUEUE_DRIVER_HIGH, (u32)(avail >> 32));
  virtio_write(device, MMIO_QUEUE_DEVICE_LOW, (u32)used);
  virtio_write(device, MMIO_QUEUE_DEVICE_HIGH, (u32)(used >> 32));
  virtio_write(device, MMIO_QUEUE_READY, 1);
}

u16 ring_add(struct ring* ring, const struct segment* segments, u32 count) {
  u16 head = ring->free_head, at = head;
  for (u32 i = 0; i < count; ++i) {
    volatile struct ring_desc* desc = &ring->desc[at];
    desc->address = segments[i].address;
    desc->length = segments[i].length;
    desc->flags = (u16)((segments[i].device_writes ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0));
    at = desc->next;
  }
  ring->free_head = at;
  ring->free_count = (u16)(ring->free_count - count);
  return head;
}

u16 ring_add_indirect(struct ring* ring, struct ring_desc* table, const struct segment* segments, u32 count) {
  for (u32 i = 0; i < count; ++i) {
    u16 flags = (u16)((segments[i].device_writes ? DESC_WRITE : 0) | (i + 1 < count ? DESC_NEXT : 0));
    table[i] = (struct ring_desc){segments[i].address, segments[i].length, flags, (u16)(i + 1)};
  }
  u16 head = ring->free_head;
  volatile struct ring_desc* desc = &ring->desc[head];
  desc->address = physical(table);
  desc->length = count * (u32)sizeof(struct ring_desc);
  desc->flags = DESC_INDIRECT;
  ring->free_head = desc->next;
  --ring->free_count;
  return head;
}

void ring_push(struct ring* ring, u16 head) {
  ring->avail[2 + ring->avail_idx % ring->size] = head;
  ++ring->avail_idx;
  compiler_barrier();
  ring->avail[1] = ring->avail_idx;
}

bool ring_wants_notification(struct ring* ring) {
  full_barrier();  // the index must be visible before the device's wish is read
  u16 old = ring->kicked_idx;
  ring->kicked_idx = ring->avail_idx;
  if (!ring->event_idx) return !(ring->used[0] & 1);
  u16 event = *ring_avail_event(ring);
  return (u16)(ring->avail_idx - event - 1) < (u16)(ring->avail_idx - old);
}

void ring_notify(const struct ring* ring) {
  virtio_write(ring->device, MMIO_QUEUE_NOTIFY, ring->index);
}

static void free_chain(struct ring* ring, u16 head) {
  u16 at = head, count = 1;
  while ((ring->desc[at].flags & DESC_NEXT) && count < ring->size) at = ring->desc[at].next, ++count;
  ring->desc[at].next = ring->free_head;
  ring->free_head = head;
  ring->free_count = (u16)(ring->free_count + count);
}

bool ring_poll(struct ring* ring, struct ring_used_element* element) {
  if (ring->used[1] == ring->used_idx) return false;
  compiler_barrier();
  const volatile struct ring_used_element* from = (const volatile struct ring_used_element*)(ring->used + 2);
  from += ring->used_idx % ring->size;
  element->id = from->id;
  element->length = from->length;
  ++ring->used_idx;
  if (element->id < ring->size) free_chain(ring, (u16)element->id);
  return true;
}

bool ring_wait(struct ring* ring, struct ring_used_element* element) {
  u64 start = tsc_read();
  while (!ring_poll(ring, element)) {
    if (tsc_read() - start > timeout_ticks()) return false;
    cpu_pause();
  }
  return true;
}
