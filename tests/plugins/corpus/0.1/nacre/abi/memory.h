/* Guest memory as data: a sorted array of regions that plugins translate addresses with, inline, without a call. */
#ifndef NACRE_ABI_MEMORY_H
#define NACRE_ABI_MEMORY_H

#include <nacre/abi/base.h>

enum { NACRE_MEMORY_READONLY = 1u << 0 };

typedef struct nacre_memory_region {
  uint64_t gpa;
  uint64_t len;       /* bytes; gpa + len does not wrap */
  uint8_t *hva;       /* NULL: cannot be mapped; use read() and write() */
  uint32_t flags;
  int32_t fd;         /* shareable memory behind it, or -1 */
  uint64_t fd_offset;
} nacre_memory_region;

typedef struct nacre_memory_view {
  uint32_t size;
  uint32_t n_regions;
  uint32_t region_size; /* the stride of `regions` */
  uint32_t reserved;
  uint64_t generation;
  const nacre_memory_region *regions; /* ascending by gpa, without overlap */
} nacre_memory_view;

#define NACRE_EXT_MEMORY "nacre.memory/1"
typedef struct nacre_memory_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [any] Returns the memory as it is now; stays valid and unchanged until released. */
  const nacre_memory_view *(*acquire)(nacre_instance *instance) NACRE_NOEXCEPT;
  void (*release)(nacre_instance *instance, const nacre_memory_view *view) NACRE_NOEXCEPT;
  /* [any] Says that the device has written there by itself (matters while memory is being tracked). */
  void (*mark_dirty)(nacre_instance *instance, uint64_t gpa, uint64_t len) NACRE_NOEXCEPT;
  /* [any] Copy to and from guest memory, across regions. NACRE_INVALID when any byte is not memory. */
  nacre_status (*read)(nacre_instance *instance, uint64_t gpa, void *to, uint64_t len) NACRE_NOEXCEPT;
  nacre_status (*write)(nacre_instance *instance, uint64_t gpa, const void *from, uint64_t len) NACRE_NOEXCEPT;
  /* [main] Calls back on [main] after the regions have changed. NULL ends it. */
  nacre_status (*on_change)(nacre_instance *instance, nacre_callback changed, void *opaque) NACRE_NOEXCEPT;
  /* [any] Gives the memory behind [gpa, gpa + len) back to the host: it reads as zeroes until it is written again. Whole
   * pages are given back; what lies in a part of a page is filled with zeroes. NACRE_INVALID, with nothing changed, when
   * any byte is not writable RAM; NACRE_BUSY while memory is pinned; NACRE_IO when the host refuses, what was in the
   * memory is then undefined. Blocks for as long as the host takes to free the pages. */
  nacre_status (*discard)(nacre_instance *instance, uint64_t gpa, uint64_t len) NACRE_NOEXCEPT;
  /* [main] This device has handed addresses of guest memory to hardware, so that no page may be given back until
   * unpin(). NACRE_BUSY when the machine has a balloon: the two exclude each other. Counted. */
  nacre_status (*pin)(nacre_instance *instance, nacre_error *error) NACRE_NOEXCEPT;
  void (*unpin)(nacre_instance *instance) NACRE_NOEXCEPT;
} nacre_memory_v1;

#endif
