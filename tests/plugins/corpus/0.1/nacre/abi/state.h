/* State of a device as tagged fields, for snapshots, migration and the live change of a plugin.
 *
 * A reader asks for fields by tag, in any order; fields that it does not ask for are ignored, fields that are missing
 * are reported, so a newer version of a driver reads what an older one has written. */
#ifndef NACRE_ABI_STATE_H
#define NACRE_ABI_STATE_H

#include <nacre/abi/base.h>

typedef struct nacre_state_writer nacre_state_writer;
typedef struct nacre_state_reader nacre_state_reader;

#define NACRE_EXT_STATE "nacre.state/1"
typedef struct nacre_state_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [loop, in save] Each tag once. The bytes are copied. Numbers are written as 8 bytes. */
  nacre_status (*put_u64)(nacre_state_writer *out, uint32_t tag, uint64_t value) NACRE_NOEXCEPT;
  nacre_status (*put_bytes)(nacre_state_writer *out, uint32_t tag, const void *data, uint64_t length) NACRE_NOEXCEPT;
  /* [loop, in load] NACRE_NOT_FOUND when there is no such tag, NACRE_INVALID when it is of the other type. The bytes
   * live until load() returns. */
  nacre_status (*get_u64)(nacre_state_reader *in, uint32_t tag, uint64_t *value) NACRE_NOEXCEPT;
  nacre_status (*get_bytes)(nacre_state_reader *in, uint32_t tag, const void **data, uint64_t *length) NACRE_NOEXCEPT;
  /* [loop, in load] The state_version of the type that wrote it. */
  uint32_t (*version)(nacre_state_reader *in) NACRE_NOEXCEPT;
} nacre_state_v1;

#endif
