// A virtio device behind virtio-mmio registers (virtio 1.2 §4.2, version 2 only).
#ifndef NACRE_TESTS_GUEST_VIRTIO_MMIO_H_
#define NACRE_TESTS_GUEST_VIRTIO_MMIO_H_

#include "cpu.h"
#include "types.h"

// §4.2.2, register offsets.
enum {
  MMIO_MAGIC = 0x000,
  MMIO_VERSION = 0x004,
  MMIO_DEVICE_ID = 0x008,
  MMIO_VENDOR_ID = 0x00c,
  MMIO_DEVICE_FEATURES = 0x010,
  MMIO_DEVICE_FEATURES_SEL = 0x014,
  MMIO_DRIVER_FEATURES = 0x020,
  MMIO_DRIVER_FEATURES_SEL = 0x024,
  MMIO_QUEUE_SEL = 0x030,
  MMIO_QUEUE_NUM_MAX = 0x034,
  MMIO_QUEUE_NUM = 0x038,
  MMIO_QUEUE_READY = 0x044,
  MMIO_QUEUE_NOTIFY = 0x050,
  MMIO_INTERRUPT_STATUS = 0x060,
  MMIO_INTERRUPT_ACK = 0x064,
  MMIO_STATUS = 0x070,
  MMIO_QUEUE_DESC_LOW = 0x080,
  MMIO_QUEUE_DESC_HIGH = 0x084,
  MMIO_QUEUE_DRIVER_LOW = 0x090,
  MMIO_QUEUE_DRIVER_HIGH = 0x094,
  MMIO_QUEUE_DEVICE_LOW = 0x0a0,
  MMIO_QUEUE_DEVICE_HIGH = 0x0a4,
  MMIO_CONFIG_GENERATION = 0x0fc,
  MMIO_CONFIG = 0x100,
  MMIO_WINDOW_BYTES = 0x200,
};

// §2.1, device status.
enum {
  STATUS_ACKNOWLEDGE = 1,
  STATUS_DRIVER = 2,
  STATUS_DRIVER_OK = 4,
  STATUS_FEATURES_OK = 8,
  STATUS_NEEDS_RESET = 0x40,
  STATUS_FAILED = 0x80,
};

enum { INTERRUPT_USED = 1, INTERRUPT_CONFIG = 2 };

// §6, features that are not of one device type.
#define FEATURE_INDIRECT_DESC (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)
#define FEATURE_VERSION_1 (1ull << 32)

struct virtio_mmio {
  u64 base;
  u32 gsi;
};

static inline u32 virtio_read(const struct virtio_mmio* device, u32 offset) {
  return mmio_read32(device->base + offset);
}

static inline void virtio_write(const struct virtio_mmio* device, u32 offset, u32 value) {
  mmio_write32(device->base + offset, value);
}

// Writes 0 to Status and waits until it reads 0 (§4.2.3.1). False when it does not within the timeout.
bool virtio_reset(const struct virtio_mmio* device);

u64 virtio_device_features(const struct virtio_mmio* device);
void virtio_set_driver_features(const struct virtio_mmio* device, u64 features);

// Sets bits in Status beside those it reads.
void virtio_add_status(const struct virtio_mmio* device, u32 bits);

static inline bool virtio_needs_reset(const struct virtio_mmio* device) {
  return virtio_read(device, MMIO_STATUS) & STATUS_NEEDS_RESET;
}

#endif
