/* Draft. What a machine type is made of. Only for plugins of tier locked.
 *
 * A machine is the one place that knows an address map, an interrupt layout and a boot protocol. The host asks it in
 * this order: create -> layout -> build -> place (once for each device that the user adds) -> boot; boot again for each
 * reset. All on [main], with the vCPUs not running. */
#ifndef NACRE_ABI_MACHINE_H
#define NACRE_ABI_MACHINE_H

#include <nacre/abi/base.h>

typedef struct nacre_machine_config {
  uint32_t size;
  uint32_t vcpus;
  uint32_t max_vcpus;
  uint32_t reserved;
  uint64_t ram_size;          /* bytes, a multiple of 4096 */
  const char *kernel;         /* paths; NULL when not given */
  const char *initrd;
  const char *append;         /* the kernel's command line; never NULL */
  const char *serial_chardev; /* the back end of the first serial port; NULL: the user wants none */
} nacre_machine_config;

/* A device that wants a place. */
typedef struct nacre_device_desc {
  uint32_t size;
  uint32_t virtio_device_id; /* 0: not a virtio device */
  const char *driver;
  const char *id;
  const char *bus;           /* the type's bus */
  const char *backend;       /* id of what stands behind it (a drive, a netdev); NULL: nothing */
  const char *bus_id;        /* the user's words about its place, each NULL when not given: bus=, addr=, lun= */
  const char *addr;
  const char *lun;
  uint8_t hot;               /* it comes while the guest runs */
  uint8_t reserved[7];
} nacre_device_desc;

enum { NACRE_PLACE_NONE = 0, NACRE_PLACE_VIRTIO_MMIO = 1 };

typedef struct nacre_placement {
  uint32_t size;
  uint32_t kind;  /* NACRE_PLACE_NONE: the device has placed itself by its properties */
  uint64_t base;  /* guest-physical address of the slot, inside the window of virtio_mmio_window() */
  uint32_t gsi;
  uint32_t slot;  /* the machine's own number for it */
} nacre_placement;

typedef struct nacre_machine_ops {
  uint32_t size;
  uint32_t reserved;
  nacre_status (*create)(nacre_instance *host, const nacre_machine_config *config, void **self,
                         nacre_error *error) NACRE_NOEXCEPT;
  void (*destroy)(void *self) NACRE_NOEXCEPT;
  /* RAM, interrupt controllers, limits. */
  nacre_status (*layout)(void *self, nacre_error *error) NACRE_NOEXCEPT;
  /* Buses and the machine's own devices. */
  nacre_status (*build)(void *self, nacre_error *error) NACRE_NOEXCEPT;
  /* Chooses the place of a device, or refuses in words. A device that comes while the guest runs only fits into a
   * replaceable slot. */
  nacre_status (*place)(void *self, const nacre_device_desc *device, nacre_placement *placement,
                        nacre_error *error) NACRE_NOEXCEPT;
  /* The device is gone; its place is free again. */
  void (*displace)(void *self, const nacre_placement *placement) NACRE_NOEXCEPT;
  /* Describes the machine to its guest, loads the kernel, sets the first vCPU's state. */
  nacre_status (*boot)(void *self, nacre_error *error) NACRE_NOEXCEPT;
} nacre_machine_ops;

enum { NACRE_IRQCHIP_FULL = 1 }; /* PIC, IOAPIC and local APICs in the kernel */

typedef struct nacre_x86_platform {
  uint32_t size;
  uint32_t irqchip;              /* NACRE_IRQCHIP_* */
  uint64_t tss_address;          /* three pages that the processor needs, out of the guest's way */
  uint64_t identity_map_address; /* one page, likewise */
  uint8_t pit;                   /* with an 8254 in the kernel */
  uint8_t reserved[7];
} nacre_x86_platform;

#define NACRE_EXT_MACHINE "nacre.machine/1"
typedef struct nacre_machine_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in layout] RAM at [gpa, gpa + length), multiples of 4096; in ascending order. */
  nacre_status (*add_ram)(nacre_instance *machine, uint64_t gpa, uint64_t length, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in layout] */
  nacre_status (*x86_platform)(nacre_instance *machine, const nacre_x86_platform *platform,
                               nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in build] `slots` virtio-mmio register windows of `stride` bytes (a power of two, at least 512) from `base`
   * up, a multiple of 4096. Devices come into them by place(). */
  nacre_status (*virtio_mmio_window)(nacre_instance *machine, uint64_t base, uint32_t stride, uint32_t slots,
                                     nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in build] Makes a device of the machine's own by driver name; `properties` is "name=value,..." as on the
   * command line. */
  nacre_status (*device)(nacre_instance *machine, const char *driver, const char *id, const char *properties,
                         nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in build] Puts a device of `driver` without a back end into the slot at `base`, with line `gsi`, so that the
   * guest finds it at boot. A device that place() puts there later takes over from it, under a driver at work too; when
   * that one goes, one without a back end takes over again. NACRE_NOT_FOUND when no plugin offers the driver. */
  nacre_status (*replaceable_slot)(nacre_instance *machine, uint64_t base, uint32_t gsi, const char *driver,
                                   nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in boot] Puts [offset, offset + length) of the file into RAM at gpa: whole pages are mapped copy-on-write
   * where the RAM is private, on small pages, and both sides are aligned alike; the rest is copied. Fails when the file
   * is shorter. */
  nacre_status (*load_file)(nacre_instance *machine, uint64_t gpa, int32_t fd, uint64_t offset, uint64_t length,
                            nacre_error *error) NACRE_NOEXCEPT;
} nacre_machine_v1;

#endif
