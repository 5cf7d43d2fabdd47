/* Virtio devices without their transport: the same plugin serves virtio-mmio and virtio-pci. The host owns registers,
 * feature negotiation, status and descriptors for kicks and interrupts; the plugin walks its rings in guest memory. */
#ifndef NACRE_ABI_VIRTIO_H
#define NACRE_ABI_VIRTIO_H

#include <nacre/abi/base.h>

#define NACRE_VIRTIO_CONFIG_MAX 256u

typedef struct nacre_virtio nacre_virtio;

/* A queue that the driver has set up; the host has checked its size, alignment and that its parts are RAM. */
typedef struct nacre_virtqueue {
  uint32_t size;
  uint16_t index;
  uint16_t num;          /* entries: a power of two, 1..32768, at most the maximum that was offered */
  uint64_t desc;         /* guest-physical addresses: virtio 1.2 §2.7.5 .. §2.7.8 */
  uint64_t avail;
  uint64_t used;
  int32_t kick_fd;       /* readable after the driver's notification; the host owns it */
  int32_t call_fd;       /* interrupts the driver when an 8-byte 1 is written to it, for rings that the kernel or another
                          * process serves; the host owns it */
  /* [any] Interrupts the driver: quicker than call_fd. */
  void (*interrupt)(void *interrupt_opaque) NACRE_NOEXCEPT;
  void *interrupt_opaque;
  uint16_t first;        /* index, available and used, to begin with: 0, or where another device has stopped */
  uint8_t ready;         /* 0: the driver does not use this queue; nothing else is valid */
  uint8_t reserved[5];
} nacre_virtqueue;

typedef struct nacre_virtio_activation {
  uint32_t size;
  uint32_t n_queues;
  uint32_t queue_size; /* the stride of `queues` */
  uint32_t reserved;
  uint64_t features;   /* what both sides agreed on; a device that takes over from another, in a slot whose driver goes on,
                        * may see features that it did not offer, and fails when it cannot work with them */
  const nacre_virtqueue *queues; /* valid during the call only; what it points to, until reset() */
} nacre_virtio_activation;

typedef struct nacre_virtio_ops {
  uint32_t size;
  uint32_t reserved;
  /* [loop] The driver is ready. A failure marks the device as needing reset. */
  nacre_status (*activate)(void *self, const nacre_virtio_activation *activation, nacre_error *error) NACRE_NOEXCEPT;
  /* [loop] Forget the queues. Once it has returned, guest memory is no longer touched: wait for what is in flight. */
  void (*reset)(void *self) NACRE_NOEXCEPT;
  /* [loop] The driver has written the configuration; the host has put it into the copy that the driver reads.
   * May be NULL: then writes change nothing. */
  void (*config_written)(void *self, uint32_t offset, const uint8_t *data, uint32_t length) NACRE_NOEXCEPT;
} nacre_virtio_ops;

typedef struct nacre_virtio_desc {
  uint32_t size;
  uint32_t device_id;          /* virtio 1.2 §5: 1 net, 2 block, ... */
  uint64_t features;           /* those of the device type and of its rings; the host adds VIRTIO_F_VERSION_1 */
  const uint16_t *queue_sizes; /* the maximum of each queue, a power of two; copied */
  uint32_t n_queues;
  uint32_t config_size;        /* at most NACRE_VIRTIO_CONFIG_MAX */
  const uint8_t *config;       /* its first content; copied */
  const nacre_virtio_ops *ops;
} nacre_virtio_desc;

#define NACRE_EXT_VIRTIO "nacre.virtio/1"
typedef struct nacre_virtio_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in realize] Says what the device is. Once per instance; `self` is passed to the ops. */
  nacre_status (*attach)(nacre_instance *instance, const nacre_virtio_desc *desc, void *self, nacre_virtio **virtio,
                         nacre_error *error) NACRE_NOEXCEPT;
  /* [main] The opposite; the driver has been reset before. */
  void (*detach)(nacre_virtio *virtio) NACRE_NOEXCEPT;
  /* [any] Changes the configuration that the driver reads and, when notify is not 0, tells the driver. */
  void (*set_config)(nacre_virtio *virtio, uint32_t offset, const void *data, uint32_t length,
                     uint8_t notify) NACRE_NOEXCEPT;
  /* [any] The device cannot go on (virtio 1.2 §2.1.1 DEVICE_NEEDS_RESET): tells the driver and logs `reason`. */
  void (*needs_reset)(nacre_virtio *virtio, const char *reason) NACRE_NOEXCEPT;
} nacre_virtio_v1;

#endif
