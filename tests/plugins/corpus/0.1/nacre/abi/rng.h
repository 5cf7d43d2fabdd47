/* Sources of random bytes on the host, by name: objects of kind rng-random. */
#ifndef NACRE_ABI_RNG_H
#define NACRE_ABI_RNG_H

#include <nacre/abi/base.h>

#define NACRE_EXT_RNG "nacre.backend.rng/1"
typedef struct nacre_rng_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Finds the source `id`. *fd is a character device open for reading without blocking; the host owns it, other
   * devices may read it as well, and it stays open longer than the instance lives. NACRE_NOT_FOUND. */
  nacre_status (*open)(nacre_instance *instance, const char *id, int32_t *fd, nacre_error *error) NACRE_NOEXCEPT;
} nacre_rng_v1;

#endif
