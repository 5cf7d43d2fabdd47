// The driver's side of a split virtqueue (virtio 1.2 §2.7).
#ifndef NACRE_TESTS_GUEST_RING_H_
#define NACRE_TESTS_GUEST_RING_H_

#include "types.h"
#include "virtio_mmio.h"

enum { RING_MAX_QUEUES = 16, RING_MAX_SIZE = 256 };

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct ring_desc {
  u64 address;
  u32 length;
  u16 flags, next;
};

struct ring_used_element {
  u32 id, length;
};

// One stretch of a request's memory.
struct segment {
  u64 address;
  u32 length;
  bool device_writes;
};

struct ring {
  const struct virtio_mmio* device;
  u16 index, size;
  volatile struct ring_desc* desc;
  volatile u16* avail;  // flags, idx, ring[size], used_event
  volatile u16* used;   // flags, idx, ring[size] of ring_used_element, avail_event
  u16 avail_idx;        // what avail->idx will be after the next ring_push
  u16 used_idx;         // first element not yet taken
  u16 kicked_idx;       // avail_idx at the last notification decision
  u16 free_head, free_count;
  bool event_idx;
};

// Lays out queue `index` (< RING_MAX_QUEUES) with `size` entries (a power of two, at most RING_MAX_SIZE) in memory of
// its own, empty, and makes it ready on the device. False when QueueReady does not read 1 afterwards.
bool ring_setup(struct ring* ring, const struct virtio_mmio* device, u16 index, u16 size, bool event_idx);

// Writes size and addresses, whatever they are, and QueueReady = 1.
void ring_program(const struct virtio_mmio* device, u16 index, u32 size, u64 desc, u64 avail, u64 used);

// Links `count` segments into a chain and returns its head. The caller keeps within ring->free_count.
u16 ring_add(struct ring* ring, const struct segment* segments, u32 count);

// Writes the chain into `table` (room for `count` descriptors) and uses one descriptor of the ring for it.
u16 ring_add_indirect(struct ring* ring, struct ring_desc* table, const struct segment* segments, u32 count);

// Puts a head into the available ring and publishes it.
void ring_push(struct ring* ring, u16 head);

// Whether the device asked to be told of what was pushed since the last call (§2.7.10).
bool ring_wants_notification(struct ring* ring);

void ring_notify(const struct ring* ring);

// Takes the next used element if there is one and frees its chain.
bool ring_poll(struct ring* ring, struct ring_used_element* element);

// ring_poll() until the timeout.
bool ring_wait(struct ring* ring, struct ring_used_element* element);

static inline volatile u16* ring_avail_flags(struct ring* ring) {
  return &ring->avail[0];
}
static inline volatile u16* ring_used_event(struct ring* ring) {
  return &ring->avail[2 + ring->size];
}
static inline volatile u16* ring_avail_event(struct ring* ring) {
  return &ring->used[2 + 4 * ring->size];
}

#endif
