/* Character back ends: standard input and output, files, sockets, by name. No event comes inside read() or write(). */
#ifndef NACRE_ABI_CHARDEV_H
#define NACRE_ABI_CHARDEV_H

#include <nacre/abi/loop.h>

typedef struct nacre_chardev nacre_chardev;

typedef struct nacre_chardev_events {
  uint32_t size;
  uint32_t reserved;
  /* [loop] There is input: take it with read(). Comes again when more arrives after read() has returned 0. */
  nacre_callback readable;
  /* [loop] Output that write() did not take can be offered again. */
  nacre_callback writable;
  /* [loop] Somebody has connected or left. May be NULL. */
  nacre_callback opened;
  nacre_callback closed;
} nacre_chardev_events;

#define NACRE_EXT_CHARDEV "nacre.backend.char/1"
typedef struct nacre_chardev_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Takes the back end `id` for this instance. NACRE_NOT_FOUND, NACRE_BUSY. */
  nacre_status (*open)(nacre_instance *instance, const char *id, const nacre_chardev_events *events, void *opaque,
                       nacre_chardev **chardev, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Waiting output is written as far as it goes without blocking. */
  void (*close)(nacre_chardev *chardev) NACRE_NOEXCEPT;
  /* [loop] Takes at most `length` bytes of input; returns how many, 0 when there are none now. */
  uint32_t (*read)(nacre_chardev *chardev, void *data, uint32_t length) NACRE_NOEXCEPT;
  /* [any] Takes over at most `length` bytes of output without blocking; returns how many. What nobody is there to read
   * is taken and dropped. */
  uint32_t (*write)(nacre_chardev *chardev, const void *data, uint32_t length) NACRE_NOEXCEPT;
  /* [main] Takes the back end `id`, which must be a Unix socket, for this instance and connects to who listens there,
   * whether the back end says server or not: for protocols with descriptors of their own, such as vhost-user. `fd` is a
   * blocking stream socket, which the caller closes; read() and write() are not for this chardev. NACRE_NOT_FOUND,
   * NACRE_BUSY, NACRE_IO when nobody listens. */
  nacre_status (*connect)(nacre_instance *instance, const char *id, nacre_chardev **chardev, int32_t *fd,
                          nacre_error *error) NACRE_NOEXCEPT;
} nacre_chardev_v1;

#endif
