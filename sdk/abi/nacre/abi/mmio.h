/* Ranges of memory-mapped and port I/O that a device answers for. */
#ifndef NACRE_ABI_MMIO_H
#define NACRE_ABI_MMIO_H

#include <nacre/abi/base.h>

enum { NACRE_SPACE_MMIO = 1, NACRE_SPACE_PIO = 2 };
enum { NACRE_MMIO_SERIALIZE = 1u << 0 }; /* the host lets one vCPU at a time into read() and write() */

typedef struct nacre_mmio_region nacre_mmio_region;

typedef struct nacre_mmio_ops {
  uint32_t size;
  uint32_t reserved;
  /* [vcpu] Returns `width` bytes (1, 2, 4 or 8) at `offset` of the range, in the low bits. Must not block. */
  uint64_t (*read)(void *opaque, uint64_t offset, uint32_t width) NACRE_NOEXCEPT;
  /* [vcpu] Likewise. */
  void (*write)(void *opaque, uint64_t offset, uint32_t width, uint64_t value) NACRE_NOEXCEPT;
} nacre_mmio_ops;

#define NACRE_EXT_MMIO "nacre.mmio/1"
typedef struct nacre_mmio_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Answers for [base, base + length) until released. Fails when part of it is memory or another device's. */
  nacre_status (*claim)(nacre_instance *instance, uint32_t space, uint64_t base, uint64_t length, uint32_t flags,
                        const nacre_mmio_ops *ops, void *opaque, nacre_mmio_region **region,
                        nacre_error *error) NACRE_NOEXCEPT;
  /* [main] No call of the ops is running or will come after it has returned. */
  void (*release)(nacre_mmio_region *region) NACRE_NOEXCEPT;
  /* [main] A guest write of `width` bytes at `offset` (of exactly `value` when match is not 0) signals the returned
   * eventfd inside the kernel and comes to write() no more. The host owns the descriptor and ends it with the range. */
  nacre_status (*ioeventfd)(nacre_mmio_region *region, uint64_t offset, uint32_t width, uint8_t match, uint64_t value,
                            int32_t *fd, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, vcpu; the first time main] From now on the guest reads and executes the first `length` bytes of the range
   * straight from `memory`, without an exit; what the device stores there it sees at once. Its writes still come to
   * write(). NULL ends that: reads come to read() again, and nothing there can be executed. Memory-mapped ranges only;
   * base, `memory` and length are multiples of 4096. `memory` stays the caller's and mapped until another, NULL, or
   * release(). One call at a time for a range. */
  nacre_status (*map)(nacre_mmio_region *region, void *memory, uint64_t length, nacre_error *error) NACRE_NOEXCEPT;
} nacre_mmio_v1;

#endif
