/* Interrupt lines of devices that are not on a virtio or PCI bus. */
#ifndef NACRE_ABI_IRQ_H
#define NACRE_ABI_IRQ_H

#include <nacre/abi/base.h>

typedef struct nacre_irq nacre_irq;

#define NACRE_EXT_IRQ "nacre.irq/1"
typedef struct nacre_irq_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Connects to a global system interrupt. Fails when the machine has no such line or another device has it. */
  nacre_status (*connect)(nacre_instance *instance, uint32_t gsi, nacre_irq **irq, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] */
  void (*disconnect)(nacre_irq *irq) NACRE_NOEXCEPT;
  /* [any] Level 0 or 1. */
  void (*set)(nacre_irq *irq, uint32_t level) NACRE_NOEXCEPT;
  /* [any] An edge: up and down. */
  void (*pulse)(nacre_irq *irq) NACRE_NOEXCEPT;
  /* [main] Returns an eventfd that pulses the line when written to; the host owns it. -1 when there is none. */
  int32_t (*irqfd)(nacre_irq *irq) NACRE_NOEXCEPT;
} nacre_irq_v1;

#endif
