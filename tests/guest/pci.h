// PCI configuration by ports and by memory (PCI 3.0 §3.2.2.3.2, PCIe 5.0 §7.2.2), of a machine whose configuration space
// begins at the address of the word `ecam=`.
#ifndef NACRE_TESTS_GUEST_PCI_H_
#define NACRE_TESTS_GUEST_PCI_H_

#include "types.h"

// A function's number: bus * 256 + slot * 8 + function.
typedef u16 pci_function;

// `width` is 1, 2 or 4 bytes; by ports, `offset` is below 256 and aligned to it.
u32 pci_port_read(pci_function function, u32 offset, u32 width);
void pci_port_write(pci_function function, u32 offset, u32 width, u32 value);
u32 pci_memory_read(pci_function function, u32 offset, u32 width);
void pci_memory_write(pci_function function, u32 offset, u32 width, u32 value);

// Calls `each` for every function of bus 0 that is there, by ports; stops when it returns false.
typedef bool (*pci_visitor)(pci_function function, void* context);
bool pci_for_each(pci_visitor each, void* context);

// The offset of a capability, 0 when there is none; `after` is where to go on, 0 for the first.
u32 pci_capability(pci_function function, u8 id, u32 after);

#endif
