/* What a device may ask of the virtual machine as a whole, and be told about it. */
#ifndef NACRE_ABI_LIFECYCLE_H
#define NACRE_ABI_LIFECYCLE_H

#include <nacre/abi/base.h>

enum { NACRE_REQUEST_SHUTDOWN = 1, NACRE_REQUEST_RESET = 2 };

#define NACRE_EXT_LIFECYCLE "nacre.lifecycle/1"
typedef struct nacre_lifecycle_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [any] The guest has asked for it through this device. Takes effect soon, on the main thread. */
  void (*request)(nacre_instance *instance, uint32_t request) NACRE_NOEXCEPT;
  /* [main, in realize] This device can tell the guest that the power button was pressed: calls back on [main] for each
   * `system_powerdown`. A machine without such a device is ended instead. */
  nacre_status (*on_powerdown)(nacre_instance *instance, nacre_callback pressed, void *opaque) NACRE_NOEXCEPT;
} nacre_lifecycle_v1;

#endif
