/* The list of host services. `draft` ones may change with any build and are for plugins of tier locked only; a draft
 * that has proved itself becomes stable under the same id. */
#ifndef NACRE_ABI_REGISTRY_H
#define NACRE_ABI_REGISTRY_H

#include <nacre/abi/balloon.h>
#include <nacre/abi/block.h>
#include <nacre/abi/block_driver.h>
#include <nacre/abi/chardev.h>
#include <nacre/abi/chardev_driver.h>
#include <nacre/abi/entry.h>
#include <nacre/abi/error.h>
#include <nacre/abi/irq.h>
#include <nacre/abi/lifecycle.h>
#include <nacre/abi/log.h>
#include <nacre/abi/loop.h>
#include <nacre/abi/machine.h>
#include <nacre/abi/memory.h>
#include <nacre/abi/mmio.h>
#include <nacre/abi/net.h>
#include <nacre/abi/net_driver.h>
#include <nacre/abi/note.h>
#include <nacre/abi/pci.h>
#include <nacre/abi/props.h>
#include <nacre/abi/qmp.h>
#include <nacre/abi/ram.h>
#include <nacre/abi/rng.h>
#include <nacre/abi/state.h>
#include <nacre/abi/vcpu.h>
#include <nacre/abi/virtio.h>

/* X(id, type of the table, 1 when draft) */
#define NACRE_EXTENSIONS(X)                       \
  X(NACRE_EXT_LOG, nacre_log_v1, 0)               \
  X(NACRE_EXT_ERROR, nacre_error_v1, 0)           \
  X(NACRE_EXT_PROPS, nacre_props_v1, 0)           \
  X(NACRE_EXT_MEMORY, nacre_memory_v1, 0)         \
  X(NACRE_EXT_IRQ, nacre_irq_v1, 0)               \
  X(NACRE_EXT_MMIO, nacre_mmio_v1, 0)             \
  X(NACRE_EXT_VIRTIO, nacre_virtio_v1, 0)         \
  X(NACRE_EXT_LOOP, nacre_loop_v1, 0)             \
  X(NACRE_EXT_QMP, nacre_qmp_v1, 0)               \
  X(NACRE_EXT_STATE, nacre_state_v1, 0)           \
  X(NACRE_EXT_LIFECYCLE, nacre_lifecycle_v1, 0)   \
  X(NACRE_EXT_BLOCK, nacre_block_v1, 0)           \
  X(NACRE_EXT_CHARDEV, nacre_chardev_v1, 0)       \
  X(NACRE_EXT_RNG, nacre_rng_v1, 0)               \
  X(NACRE_EXT_BALLOON, nacre_balloon_v1, 0)       \
  X(NACRE_EXT_NET, nacre_net_v1, 0)               \
  X(NACRE_EXT_PCI, nacre_pci_v1, 0)               \
  X(NACRE_EXT_MACHINE, nacre_machine_v1, 1)       \
  X(NACRE_EXT_VCPU, nacre_vcpu_v1, 1)

#endif
