/* Draft. What stands on a PCI bus. Virtio devices come there by themselves, see virtio.h. */
#ifndef NACRE_ABI_PCI_H
#define NACRE_ABI_PCI_H

#include <nacre/abi/base.h>

/* A PCI Express root port. The host has its registers, its bus and the hot-plug of its one slot. */
typedef struct nacre_pci_port {
  uint32_t size;
  uint16_t vendor_id;
  uint16_t device_id;
  uint8_t revision;
  uint8_t port;        /* its number, as the guest reads it */
  uint8_t fast_unplug; /* a removal shows a presence change at once, and the guest does not wait for a second press */
  uint8_t reserved[5];
} nacre_pci_port;

#define NACRE_EXT_PCI "nacre.pci/1"
typedef struct nacre_pci_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in realize] Makes the instance a root port whose bus has the instance's id as its name; it is put at the
   * place that the user names with bus= and addr=. Once per instance; the host takes it back after unrealize(). */
  nacre_status (*root_port)(nacre_instance *instance, const nacre_pci_port *port, nacre_error *error) NACRE_NOEXCEPT;
} nacre_pci_v1;

#endif
