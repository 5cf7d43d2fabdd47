/* A plugin's own character back ends: what a type of kind NACRE_KIND_CHARDEV does. Input is what the guest reads, output
 * what it writes. The host buffers output, so that a device may write on any thread; the driver has one thread only.
 * nacre.loop/1 gives the loop of the device that has the back end, from open() to close(). */
#ifndef NACRE_ABI_CHARDEV_DRIVER_H
#define NACRE_ABI_CHARDEV_DRIVER_H

#include <nacre/abi/chardev.h>

typedef struct nacre_chardev_driver_ops {
  uint32_t size;
  uint32_t flags;
  /* [main] Makes the back end that the instance's properties describe. */
  nacre_status (*create)(nacre_instance *host, void **self, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Ends it. No device has it. */
  void (*destroy)(void *self) NACRE_NOEXCEPT;
  /* [loop] A device takes it. Until close() the driver calls, on [loop] and with `opaque`: `opened` when somebody is at
   * the other end, `closed` when he has left (what the guest writes meanwhile is lost), `readable` when there is input
   * again after read() has returned 0, `writable` when there is room again after write() has taken less than all. All
   * four are there; `events` lives as long as the call. */
  nacre_status (*open)(void *self, const nacre_chardev_events *events, void *opaque, nacre_error *error) NACRE_NOEXCEPT;
  /* [loop] It gives the back end back. No callback of the driver comes after it. */
  void (*close)(void *self) NACRE_NOEXCEPT;
  /* [loop] Moves at most `length` bytes of input; returns how many, 0 when there are none now. */
  uint32_t (*read)(void *self, void *data, uint32_t length) NACRE_NOEXCEPT;
  /* [loop] Takes at most `length` bytes of output without blocking; returns how many. `readable` may come inside it. */
  uint32_t (*write)(void *self, const void *data, uint32_t length) NACRE_NOEXCEPT;
} nacre_chardev_driver_ops;

#endif
