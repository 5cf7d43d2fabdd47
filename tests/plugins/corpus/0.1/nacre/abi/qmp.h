/* A plugin's own management commands and events. */
#ifndef NACRE_ABI_QMP_H
#define NACRE_ABI_QMP_H

#include <nacre/abi/base.h>

/* Where a command's answer goes. */
typedef struct nacre_qmp_reply nacre_qmp_reply;

/* [main] Handles one call. `arguments` is a JSON object. Answer with reply_json() or return a failure with words. */
typedef nacre_status (*nacre_qmp_handler)(void *opaque, const char *arguments, nacre_qmp_reply *reply,
                                          nacre_error *error) NACRE_NOEXCEPT;

#define NACRE_EXT_QMP "nacre.qmp/1"
typedef struct nacre_qmp_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Adds the command `name`, which begins with "x-", until the instance is destroyed. */
  nacre_status (*command)(nacre_instance *instance, const char *name, const char *help, nacre_qmp_handler handler,
                          void *opaque, nacre_error *error) NACRE_NOEXCEPT;
  /* [main, in the handler] Gives the answer, a JSON value; without it the answer is {}. */
  nacre_status (*reply_json)(nacre_qmp_reply *reply, const char *json) NACRE_NOEXCEPT;
  /* [any] Sends an event; `json` is its data, a JSON object. */
  nacre_status (*event)(nacre_instance *instance, const char *name, const char *json) NACRE_NOEXCEPT;
} nacre_qmp_v1;

#endif
