/* Block back ends: named disks that the host has opened. A plugin never sees a path. */
#ifndef NACRE_ABI_BLOCK_H
#define NACRE_ABI_BLOCK_H

#include <sys/uio.h>

#include <nacre/abi/loop.h>

typedef struct nacre_block nacre_block;

enum { NACRE_BLOCK_READ = 1, NACRE_BLOCK_WRITE = 2, NACRE_BLOCK_FLUSH = 3, NACRE_BLOCK_DISCARD = 4,
       NACRE_BLOCK_WRITE_ZEROES = 5 };

enum { NACRE_BLOCK_UNMAP = 1u << 0 }; /* write zeroes: the blocks may be given back */

/* One request. The device owns it and leaves it alone from submit() until it is completed. */
typedef struct nacre_block_request {
  uint32_t op;
  uint32_t flags;
  uint64_t offset;         /* bytes */
  uint64_t length;         /* bytes; of reads and writes: the sum of `iov` */
  const struct iovec *iov; /* host addresses, in guest memory or the device's own */
  uint32_t n_iov;
  int32_t status;          /* out: NACRE_OK or why not */
  uint64_t host[6];        /* the host's while the request is its own */
} nacre_block_request;

typedef struct nacre_block_info {
  uint32_t size;
  uint32_t request_size;   /* sizeof(nacre_block_request) that the host knows */
  uint64_t capacity;       /* bytes */
  uint32_t alignment;      /* of offset, length and buffers for requests that need no copy: 1 .. 4096 */
  uint8_t readonly;
  uint8_t discard;         /* discard requests do something */
  uint8_t write_zeroes;    /* the back end asks for write-zeroes to be offered */
  uint8_t reserved;
} nacre_block_info;

/* [loop] Some requests are done; may come inside submit(). */
typedef void (*nacre_block_completed)(void *opaque, nacre_block_request *const *requests, uint32_t n) NACRE_NOEXCEPT;

#define NACRE_EXT_BLOCK "nacre.backend.block/1"
typedef struct nacre_block_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Takes the disk `id` for this instance, with completions on its loop. NACRE_NOT_FOUND, NACRE_BUSY. */
  nacre_status (*open)(nacre_instance *instance, const char *id, nacre_block_completed completed, void *opaque,
                       nacre_block **block, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Gives it back; nothing is in flight. */
  void (*close)(nacre_block *block) NACRE_NOEXCEPT;
  /* [main, loop] */
  void (*info)(nacre_block *block, nacre_block_info *info) NACRE_NOEXCEPT;
  /* [loop] Starts all of them, with one system call where that is possible. Each is completed exactly once. */
  void (*submit)(nacre_block *block, nacre_block_request *const *requests, uint32_t n) NACRE_NOEXCEPT;
  /* [loop] Returns when nothing is in flight; completions come meanwhile. Throttled requests complete with an error. */
  void (*drain)(nacre_block *block) NACRE_NOEXCEPT;
} nacre_block_v1;

#endif
