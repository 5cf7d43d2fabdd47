/* The log. The host adds the plugin's and the instance's names and limits the rate per instance. */
#ifndef NACRE_ABI_LOG_H
#define NACRE_ABI_LOG_H

#include <nacre/abi/base.h>

enum { NACRE_LOG_ERROR = 1, NACRE_LOG_WARN = 2, NACRE_LOG_INFO = 3, NACRE_LOG_DEBUG = 4, NACRE_LOG_TRACE = 5 };

#define NACRE_EXT_LOG "nacre.log/1"
typedef struct nacre_log_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [any] Writes one line; instance may be NULL. */
  void (*write)(nacre_instance *instance, uint32_t level, const char *text) NACRE_NOEXCEPT;
  /* [any] Nonzero when a line of this level would be written. */
  uint8_t (*enabled)(uint32_t level) NACRE_NOEXCEPT;
} nacre_log_v1;

#endif
