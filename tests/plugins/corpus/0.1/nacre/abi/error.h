/* The words of an error: what, why, what to do. The slot belongs to the host; nothing is allocated across the border. */
#ifndef NACRE_ABI_ERROR_H
#define NACRE_ABI_ERROR_H

#include <nacre/abi/base.h>

#define NACRE_ERROR_MAX 1024u

#define NACRE_EXT_ERROR "nacre.error/1"
typedef struct nacre_error_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [any] Copies at most NACRE_ERROR_MAX - 1 bytes of `text` into the slot; a NULL slot is ignored. */
  void (*set)(nacre_error *error, const char *text) NACRE_NOEXCEPT;
  /* [any] Returns the words of a slot that a host service has filled; "" when there are none. */
  const char *(*text)(const nacre_error *error) NACRE_NOEXCEPT;
} nacre_error_v1;

#endif
