#include "blk.h"

#include "machine.h"
#include "memory.h"

const char* blk_find(struct virtio_mmio* device) {
  device->base = word_number("blk", 0);
  device->gsi = (u32)word_number("irq", 0xffffffff);
  if (device->base) return NULL;
  u64 skip = word_number("slot", 0);
  for (u32 n = 0; virtio_mmio_word(n, &device->base, &device->gsi); ++n) {
    if (virtio_read(device, MMIO_MAGIC) != 0x74726976) continue;
    if (virtio_read(device, MMIO_DEVICE_ID) != BLK_DEVICE_ID) continue;
    if (skip-- == 0) return NULL;
  }
  return "no block device: give blk=<base> irq=<gsi>, or virtio_mmio.device=512@<base>:<gsi> entries";
}

const char* blk_open(struct blk* blk, u64 wanted, u16 queues, u16 size) {
  const char* reason = blk_find(&blk->device);
  if (reason) return reason;
  const struct virtio_mmio* device = &blk->device;
  if (!virtio_reset(device)) return "Status does not read 0 after a reset";
  virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE);
  virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  blk->offered = virtio_device_features(device);
  if (!(blk->offered & FEATURE_VERSION_1)) return "VERSION_1 is not offered";
  blk->features = blk->offered & (wanted | FEATURE_VERSION_1);
  virtio_set_driver_features(device, blk->features);
  virtio_add_status(device, STATUS_FEATURES_OK);
  if (!(virtio_read(device, MMIO_STATUS) & STATUS_FEATURES_OK)) return "FEATURES_OK does not stay set";
  u32 low = virtio_read(device, MMIO_CONFIG + BLK_CONFIG_CAPACITY);
  blk->capacity = (u64)virtio_read(device, MMIO_CONFIG + BLK_CONFIG_CAPACITY + 4) << 32 | low;
  blk->queue_count = 1;
  if (blk->features & BLK_FEATURE_MQ)
    blk->queue_count = mmio_read16(device->base + MMIO_CONFIG + BLK_CONFIG_NUM_QUEUES);
  if (blk->queue_count > queues) blk->queue_count = queues;
  for (u16 i = 0; i < blk->queue_count; ++i) {
    virtio_write(device, MMIO_QUEUE_SEL, i);
    if (virtio_read(device, MMIO_QUEUE_READY) != 0) return "QueueReady is not 0 after a reset";
    u32 maximum = virtio_read(device, MMIO_QUEUE_NUM_MAX);
    if (maximum == 0) return "QueueNumMax is 0 for a queue that should exist";
    u16 entries = maximum < size ? (u16)maximum : size;
    if (!ring_setup(&blk->queues[i], device, i, entries, blk->features & FEATURE_EVENT_IDX)) {
      return "QueueReady does not read 1 after a correct setup";
    }
  }
  virtio_add_status(device, STATUS_DRIVER_OK);
  u32 status = virtio_read(device, MMIO_STATUS);
  if (status != (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK)) {
    return "Status is not 0xf after DRIVER_OK";
  }
  return NULL;
}

void blk_prepare(struct blk_request* request, u32 type, u64 sector) {
  request->header = (struct blk_header){type, 0, sector};
  request->status = BLK_UNTOUCHED;
}

u32 blk_submit(struct blk* blk, u16 queue, struct blk_request* request, const struct segment* segments, u32 count) {
  struct ring* ring = &blk->queues[queue];
  struct ring_used_element element;
  u16 head = ring_add(ring, segments, count);
  ring_push(ring, head);
  if (ring_wants_notification(ring)) ring_notify(ring);
  if (!ring_wait(ring, &element) || element.id != head) return BLK_TIMEOUT;
  return request->status;
}

u32 blk_transfer(struct blk* blk, u16 queue, u32 type, u64 sector, void* data, u32 bytes, bool device_writes) {
  static struct blk_request requests[RING_MAX_QUEUES];
  struct blk_request* request = &requests[queue];
  blk_prepare(request, type, sector);
  struct segment segments[3] = {{physical(&request->header), sizeof request->header, false}};
  u32 count = 1;
  if (bytes) segments[count++] = (struct segment){physical(data), bytes, device_writes};
  segments[count++] = (struct segment){physical(&request->status), 1, true};
  return blk_submit(blk, queue, request, segments, count);
}

void pattern_fill(void* data, u64 sector, u32 bytes, u64 seed) {
  u64* words = data;
  u64 value = seed + 64 * sector;
  for (u32 i = 0; i < bytes / 8; ++i) words[i] = value++;
}

bool pattern_matches(const void* data, u64 sector, u32 bytes, u64 seed) {
  const u64* words = data;
  u64 value = seed + 64 * sector;
  for (u32 i = 0; i < bytes / 8; ++i) {
    if (words[i] != value++) return false;
  }
  return true;
}
