/* PCI devices: functions with registers of their own, and root ports. Virtio devices come to PCI by themselves, see
 * virtio.h.
 *
 * A device of bus "pci" attaches its function in realize(), says there what it has (BARs, capabilities, interrupts),
 * and is put at the place that the user names with bus= and addr= when realize() has returned; nothing can be added
 * afterwards. The host has the configuration space: identity, sizes of BARs, the list of capabilities, the guest's
 * writes. nacre_device_ops.reset is called when the guest resets the function itself, or the bus or the machine that it
 * is in. A guest may change the configuration at any moment, from several vCPUs at once, and may access a BAR when the
 * driver would not. A type with NACRE_TYPE_HOTPLUGGABLE may come and go below a root port while the guest runs. */
#ifndef NACRE_ABI_PCI_H
#define NACRE_ABI_PCI_H

#include <nacre/abi/mmio.h>

/* A PCI Express root port. The host has its registers, its bus and the hot-plug of its one slot: they decide which
 * accesses reach what is below, so that no plugin answers for them. */
typedef struct nacre_pci_port {
  uint32_t size;
  uint16_t vendor_id;
  uint16_t device_id;
  uint8_t revision;
  uint8_t port;        /* its number, as the guest reads it */
  uint8_t fast_unplug; /* a removal shows a presence change at once, and the guest does not wait for a second press */
  uint8_t reserved[5];
} nacre_pci_port;

typedef struct nacre_pci nacre_pci; /* one function */

typedef struct nacre_pci_ops {
  uint32_t size;
  uint32_t reserved;
  /* [vcpu, one at a time] The guest has written bytes [offset, offset + width) of the configuration, of which the
   * writable bits have changed; or [main, vcpu] after a reset, as a write of everything. `config` are its 4096 bytes as
   * they are now, during the call. Must return soon, and must not wait for a loop. May be NULL. */
  void (*config_written)(void *self, const uint8_t *config, uint32_t offset, uint32_t width) NACRE_NOEXCEPT;
} nacre_pci_ops;

/* A PCI Express endpoint: the host adds the capability, and with it the reset of this function alone (PCIe 5.0
 * 6.6.2). Without it the function is one of a conventional or integrated device. */
enum { NACRE_PCI_EXPRESS = 1u << 0 };

/* What the guest reads in the header (PCI 3.0 6.1). */
typedef struct nacre_pci_desc {
  uint32_t size;
  uint32_t flags;               /* NACRE_PCI_EXPRESS */
  uint16_t vendor_id;
  uint16_t device_id;
  uint16_t subsystem_vendor_id;
  uint16_t subsystem_id;
  uint32_t class_code;          /* 24 bits: base class, subclass, programming interface */
  uint8_t revision;
  uint8_t interrupt_pin;        /* of set_intx(): 1 to 4 for INTA to INTD; 0: none */
  uint8_t reserved[2];
  const char *name;             /* begins sentences about a machine's function; NULL for devices */
  const nacre_pci_ops *ops;     /* may be NULL */
} nacre_pci_desc;

enum { NACRE_PCI_BAR_MEMORY32 = 1, NACRE_PCI_BAR_MEMORY64 = 2, NACRE_PCI_BAR_IO = 3 };

enum {
  NACRE_PCI_BAR_SERIALIZE = 1u << 0,   /* the host lets one vCPU at a time into read() and write() */
  NACRE_PCI_BAR_PREFETCHABLE = 1u << 1 /* reading has no effect, so that the guest may put it into such windows */
};

typedef struct nacre_pci_bar {
  uint32_t size;
  uint32_t index;            /* 0 to 5; one of 64 bits takes the next as well */
  uint32_t kind;             /* NACRE_PCI_BAR_* */
  uint32_t flags;
  uint64_t length;           /* bytes, a power of two: 16 to 2 GiB, with 64 bits to 2^62; of ports 4 to 256 */
  const nacre_mmio_ops *ops; /* copied; NULL: reads as zeroes, and writes go nowhere */
  void *opaque;
} nacre_pci_bar;

enum { NACRE_PCI_MEMORY_READONLY = 1u << 0 }; /* the guest's writes come to the BAR's write() */

/* Memory behind a part of a BAR: the guest reads and writes the file itself, without an exit. All of it are multiples of
 * 4096 bytes. Devices cannot reach it by nacre.memory. */
typedef struct nacre_pci_memory {
  uint32_t size;
  uint32_t bar;
  uint64_t offset;    /* in the BAR */
  uint64_t length;
  int32_t fd;         /* memfd, file or device; mapped shared, and the plugin's to close once the call has returned. A
                       * file has these bytes as long as the function lives */
  uint32_t flags;
  uint64_t fd_offset;
} nacre_pci_memory;

enum {
  NACRE_PCI_CAPABILITY = 1,          /* in the list of the first 256 bytes; `id` of 8 bits, a header of 2 */
  NACRE_PCI_EXTENDED_CAPABILITY = 2, /* in the list from 256 on; `id` of 16 bits, a header of 4 */
  NACRE_PCI_REGISTERS = 3            /* in no list, at `offset` */
};

/* Bytes of the configuration space from 0x40 on. The host writes a capability's header: what `content` and `writable`
 * say of it is ignored. */
typedef struct nacre_pci_capability {
  uint32_t size;
  uint32_t kind;             /* NACRE_PCI_*CAPABILITY, NACRE_PCI_REGISTERS */
  uint32_t id;
  uint32_t version;          /* of an extended one, 4 bits */
  uint32_t offset;           /* a multiple of 4; 0: the host chooses, which registers cannot ask for */
  uint32_t length;           /* bytes, with the header */
  const uint8_t *content;    /* `length` bytes, copied; NULL: zeroes */
  const uint8_t *writable;   /* likewise: the bits that the guest may write; NULL: none */
  const uint8_t *clears;     /* likewise: the bits that a written 1 clears; NULL: none */
} nacre_pci_capability;

/* What the guest has allowed. */
enum {
  NACRE_PCI_BUS_MASTER = 1u << 0, /* the function may access memory and send messages (PCI 3.0 6.2.2) */
  NACRE_PCI_MSIX_ON = 1u << 1,    /* interrupts are messages; INTx is silent */
  NACRE_PCI_MEMORY_ON = 1u << 2,  /* its BARs of memory are decoded, */
  NACRE_PCI_IO_ON = 1u << 3       /* and of ports */
};

#define NACRE_EXT_PCI "nacre.pci/1"
typedef struct nacre_pci_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in realize] Makes the instance a root port whose bus has the instance's id as its name; it is put at the
   * place that the user names with bus= and addr=. Once per instance; the host takes it back after unrealize(). */
  nacre_status (*root_port)(nacre_instance *instance, const nacre_pci_port *port, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in realize; of a machine in build] Makes a function; a device has one. `self` is given to the ops. */
  nacre_status (*attach)(nacre_instance *instance, const nacre_pci_desc *desc, void *self, nacre_pci **pci,
                         nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Takes it away with all that it has; no call of its ops is running or will come. Not needed for a machine's. */
  void (*detach)(nacre_pci *pci) NACRE_NOEXCEPT;
  /* [main, before its placement] */
  nacre_status (*bar)(nacre_pci *pci, const nacre_pci_bar *bar, nacre_error *error) NACRE_NOEXCEPT;
  nacre_status (*bar_memory)(nacre_pci *pci, const nacre_pci_memory *memory, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, before its placement] A guest write of `width` bytes (0: of any width, without match) at `offset` of a BAR
   * signals the returned eventfd inside the kernel. It comes to write() where the kernel has no room for it. The
   * descriptor is the host's and ends with the function. */
  nacre_status (*bar_event)(nacre_pci *pci, uint32_t bar, uint64_t offset, uint32_t width, uint8_t match,
                            uint64_t value, int32_t *fd, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, before its placement] Returns where it is. */
  nacre_status (*capability)(nacre_pci *pci, const nacre_pci_capability *capability, uint32_t *offset,
                             nacre_error *error) NACRE_NOEXCEPT;
  /* [main, before its placement] MSI-X with 1 to 2048 vectors, whose table gets a BAR of 32 bits of its own (PCI 3.0
   * 6.8.2). */
  nacre_status (*msix)(nacre_pci *pci, uint32_t bar, uint32_t vectors, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Returns an eventfd whose signals send the vector's message inside the kernel; the host's, one for each
   * vector. While the vector is masked or MSI-X is off a signal waits; a reset forgets it. */
  nacre_status (*vector_fd)(nacre_pci *pci, uint32_t vector, int32_t *fd, nacre_error *error) NACRE_NOEXCEPT;
  /* [any] Sends the vector's message, or keeps it pending while it is masked; nothing while MSI-X is off. */
  void (*notify)(nacre_pci *pci, uint32_t vector) NACRE_NOEXCEPT;
  /* [any] The level of its INTx signal, 0 or 1, which the guest hears while MSI-X is off. */
  void (*set_intx)(nacre_pci *pci, uint32_t level) NACRE_NOEXCEPT;
  /* [any] What the guest has allowed: NACRE_PCI_BUS_MASTER, .... A function without bus mastering must not touch
   * guest memory. */
  uint32_t (*state)(nacre_pci *pci) NACRE_NOEXCEPT;
  /* [main, loop, and in config_written()] Bytes of the configuration as the device sees them. Writing is for the bytes
   * of its capabilities and registers alone, headers excepted. NACRE_INVALID elsewhere, with nothing changed. Outside
   * config_written() the instance's reset() may come during the call, on the same thread. */
  nacre_status (*read_config)(nacre_pci *pci, uint32_t offset, void *to, uint32_t length) NACRE_NOEXCEPT;
  nacre_status (*write_config)(nacre_pci *pci, uint32_t offset, const void *from, uint32_t length) NACRE_NOEXCEPT;
} nacre_pci_v1;

#endif
