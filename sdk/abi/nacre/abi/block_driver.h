/* A plugin's own disks: what a type of kind NACRE_KIND_BLOCK does. The functions are those by which a device uses a disk
 * (block.h), with the plugin's object for the host's handle, so that a device cannot tell whose disk it has.
 *
 * The host stands between the two: it refuses what is outside the disk, whose length is not that of its buffers, or
 * what would change a disk that is read-only; it counts and limits. What reaches submit() is in order, but it may be of
 * any alignment. nacre.loop/1 gives the loop of the device that has the disk, from open() to close(). */
#ifndef NACRE_ABI_BLOCK_DRIVER_H
#define NACRE_ABI_BLOCK_DRIVER_H

#include <nacre/abi/block.h>

typedef struct nacre_block_driver_ops {
  uint32_t size;
  uint32_t flags;
  /* [main] Makes the disk that the instance's properties describe: its size is known from now on. */
  nacre_status (*create)(nacre_instance *host, void **self, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Ends it. No device has it. */
  void (*destroy)(void *self) NACRE_NOEXCEPT;
  /* [loop] A device takes the disk. `completed(opaque, ...)` is for what submit() has taken, until close(). */
  nacre_status (*open)(void *self, nacre_block_completed completed, void *opaque, nacre_error *error) NACRE_NOEXCEPT;
  /* [loop] It gives the disk back. Nothing is in flight, and no callback of the driver comes after it. */
  void (*close)(void *self) NACRE_NOEXCEPT;
  /* [main, loop] Always the same. The capacity is a multiple of 512 bytes; the alignment is what requests had best be
   * of; `request_size` is the host's. */
  void (*info)(void *self, nacre_block_info *info) NACRE_NOEXCEPT;
  /* [loop] Starts all of them. Each is completed exactly once, with its status set, on [loop]: inside submit() or later.
   * submit() may come inside `completed`. Words 4 and 5 of a request's `host` are the driver's meanwhile, the others
   * the host's. */
  void (*submit)(void *self, nacre_block_request *const *requests, uint32_t n) NACRE_NOEXCEPT;
  /* [loop] Returns when all that submit() has taken is completed. NULL where that is always so when it returns. */
  void (*drain)(void *self) NACRE_NOEXCEPT;
} nacre_block_driver_ops;

#endif
