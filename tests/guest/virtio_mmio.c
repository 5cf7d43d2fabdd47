#include "virtio_mmio.h"

#include "machine.h"

bool virtio_reset(const struct virtio_mmio* device) {
  virtio_write(device, MMIO_STATUS, 0);
  u64 start = tsc_read();
  while (virtio_read(device, MMIO_STATUS) != 0) {
    if (tsc_read() - start > timeout_ticks()) return false;
    cpu_pause();
  }
  return true;
}

u64 virtio_device_features(const struct virtio_mmio* device) {
  virtio_write(device, MMIO_DEVICE_FEATURES_SEL, 1);
  u64 high = virtio_read(device, MMIO_DEVICE_FEATURES);
  virtio_write(device, MMIO_DEVICE_FEATURES_SEL, 0);
  return high << 32 | virtio_read(device, MMIO_DEVICE_FEATURES);
}

void virtio_set_driver_features(const struct virtio_mmio* device, u64 features) {
  virtio_write(device, MMIO_DRIVER_FEATURES_SEL, 1);
  virtio_write(device, MMIO_DRIVER_FEATURES, (u32)(features >> 32));
  virtio_write(device, MMIO_DRIVER_FEATURES_SEL, 0);
  virtio_write(device, MMIO_DRIVER_FEATURES, (u32)features);
}

void virtio_add_status(const struct virtio_mmio* device, u32 bits) {
  virtio_write(device, MMIO_STATUS, virtio_read(device, MMIO_STATUS) | bits);
}
