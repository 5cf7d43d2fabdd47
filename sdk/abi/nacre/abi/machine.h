/* Draft. What a machine type is made of. Only for plugins of tier locked.
 *
 * A machine is the one place that knows an address map, an interrupt layout and a boot protocol. The host asks it in
 * this order: create -> layout -> build -> place (once for each device that the user adds) -> boot; boot again for each
 * reset. All on [main], with the vCPUs not running.
 *
 * vCPUs that come and go: a device on the bus "cpu" is one, and comes as every device does, by place(), which chooses
 * its number. The host makes the vCPU, which waits for INIT and SIPI, and calls cpu_changed; to take it away it calls
 * cpu_changed again, the guest lets go of it, and the machine says so by cpu_ejected(). */
#ifndef NACRE_ABI_MACHINE_H
#define NACRE_ABI_MACHINE_H

#include <nacre/abi/pci.h>
#include <nacre/abi/ram.h>

/* No vCPU will ever run: a test reads and writes what a guest would. Without a kernel and without firmware the machine
 * is complete then, and boot() loads nothing. */
enum { NACRE_MACHINE_NO_VCPUS = 1 };

/* What the user has said of one field of the SMBIOS structure of a type, such as 1, "serial" and "1234". */
typedef struct nacre_smbios_field {
  uint32_t type;
  uint32_t reserved;
  const char *name;
  const char *value;
} nacre_smbios_field;

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
  const nacre_ram *ram;       /* never NULL; valid from layout() on */
  /* Firmware in flash, units 0 and 1 of -drive if=pflash: the drive's id (NULL: there is none; unit 1 only with unit 0),
   * its length in bytes, and its image as a descriptor that can be read and is the host's. */
  const char *flash_drive[2];
  uint64_t flash_length[2];
  int32_t flash_fd[2];
  uint32_t flags;             /* NACRE_MACHINE_* */
  uint32_t n_smbios;
  const nacre_smbios_field *smbios; /* in the user's order; a type that was given without a field has one that is empty */
  uint32_t sockets;           /* that max_vcpus are in, as many in each; at least 1 */
  uint32_t reserved2;
} nacre_machine_config;

/* A device that wants a place. */
typedef struct nacre_device_desc {
  uint32_t size;
  uint32_t virtio_device_id; /* 0: not a virtio device */
  const char *driver;
  const char *id;
  const char *bus;           /* the type's bus; "pci" when the user names the driver as one on PCI (virtio-blk-pci) */
  const char *backend;       /* id of what stands behind it (a drive, a netdev); NULL: nothing */
  const char *bus_id;        /* the user's words about its place, each NULL when not given: bus=, addr=, lun= */
  const char *addr;
  const char *lun;
  uint8_t hot;               /* it comes while the guest runs */
  uint8_t reserved[7];
  int64_t cpu_id;            /* on the bus "cpu": the number that the user wants; -1: none given */
  uint8_t port;              /* it is a root port, with a bus below */
  uint8_t reserved2[7];
} nacre_device_desc;

/* PCI: the host finds the place on the buses of pci_host() by the user's bus= and addr=. CPU: `slot` is the vCPU. */
enum { NACRE_PLACE_NONE = 0, NACRE_PLACE_VIRTIO_MMIO = 1, NACRE_PLACE_PCI = 2, NACRE_PLACE_CPU = 3 };

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
  /* The driver whose devices are vCPUs that come and go; NULL: the machine's vCPUs stay as they are. */
  const char *cpu_driver;
  /* [main, also while the vCPUs run] vCPU `index` is there (1) or shall go (0): tell the guest. */
  void (*cpu_changed)(void *self, uint32_t index, uint32_t plugged) NACRE_NOEXCEPT;
  /* [main, also while the vCPUs run] 1: the guest was told that vCPU `index` shall go, and has neither let go of it nor
   * refused; 0: it may be told so. NULL: it is told each time. */
  uint32_t (*cpu_leaving)(void *self, uint32_t index) NACRE_NOEXCEPT;
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

enum { NACRE_PCI_CONFIG_PORTS = 1 }; /* configuration by ports 0xCF8 to 0xCFF too (PCI 3.0 3.2.2.3.2) */

/* A PCI Express host and its root bus, "pcie.0". Windows of length 0 are not there; none overlaps RAM. */
typedef struct nacre_pci_host {
  uint32_t size;
  uint32_t flags;            /* NACRE_PCI_* */
  uint64_t ecam_base;        /* memory-mapped configuration, 1 MiB for each bus; a multiple of 1 MiB */
  uint32_t ecam_buses;       /* 0 to 256 */
  uint32_t first_gsi;        /* of the four lines of INTx: a device's pin A in slot N of bus 0 ends at N modulo 4 */
  uint64_t memory32_base;    /* where the guest may put BARs: below 4 GiB, */
  uint64_t memory32_length;
  uint64_t memory64_base;    /* above, */
  uint64_t memory64_length;
  uint32_t io_base;          /* and in ports */
  uint32_t io_length;
  /* [vcpu] Accesses to the ports 0xCF8 to 0xCFB other than of all four bytes at once, such as a reset register at
   * 0xCF9; `offset` is from 0xCF8. Both NULL: nobody answers. Only with NACRE_PCI_CONFIG_PORTS. */
  uint64_t (*port_read)(void *opaque, uint64_t offset, uint32_t width) NACRE_NOEXCEPT;
  void (*port_write)(void *opaque, uint64_t offset, uint32_t width, uint64_t value) NACRE_NOEXCEPT;
  void *port_opaque;
} nacre_pci_host;

/* A device on PCI that firmware may start the machine from. */
typedef struct nacre_boot_device {
  uint32_t size;
  uint32_t virtio_device_id; /* 0: not a virtio device */
  const uint8_t *path;       /* slot * 8 + function of each: the ports above it, from the root bus down, and itself */
  uint32_t path_length;      /* at least 1 */
  uint32_t reserved;
} nacre_boot_device;

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
  /* [main, in build] Makes the PCI host, once; takes the four lines of INTx. */
  nacre_status (*pci_host)(nacre_instance *machine, const nacre_pci_host *host, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in build, after pci_host] Puts a function that the machine has made by nacre.pci/1, complete, at a place of
   * the root bus: slot * 8 + function; `multifunction`: others of the slot follow. The host keeps it from then on. */
  nacre_status (*pci_place)(nacre_instance *machine, nacre_pci *pci, uint8_t devfn, uint8_t multifunction,
                            nacre_error *error) NACRE_NOEXCEPT;
  /* [any] Moves the memory-mapped configuration, once the access under way has ended; 0 buses turn it off. A reset puts
   * it back. */
  void (*pci_ecam)(nacre_instance *machine, uint64_t base, uint32_t buses) NACRE_NOEXCEPT;
  /* [any] The guest has let go of vCPU `index`, or never will use it: the device that it is goes, soon, on [main]. One
   * that is no device stays. */
  void (*cpu_ejected)(nacre_instance *machine, uint32_t index) NACRE_NOEXCEPT;
  /* [main, in boot] Calls `each` for every device on PCI whose property "bootindex" the user has set, in the order of
   * the values; no two are equal. What `device` points at lives as long as that call. */
  void (*boot_devices)(nacre_instance *machine,
                       void (*each)(void *opaque, const nacre_boot_device *device) NACRE_NOEXCEPT,
                       void *opaque) NACRE_NOEXCEPT;
} nacre_machine_v1;

#endif
