/* What every header of the binary contract shares: version, status codes, calling rules.
 *
 * Rules of the contract:
 * - Only C types of fixed width, pointers and function pointers cross; a bool is a uint8_t, an enumeration a uint32_t
 *   with named constants.
 * - Every structure begins with `size`, its sizeof in the version its maker was compiled with. A reader uses no field
 *   beyond it. Structures grow at the end only and a field never changes its meaning.
 * - Each function's comment begins with the thread it is called on:
 *     [main]   the one thread of management: QMP, hot-plug, life cycle
 *     [loop]   the thread of the instance's event loop: the main thread, or the iothread named by its property
 *     [vcpu]   a thread that runs a virtual CPU; several may call at once; must not block
 *     [any]    every thread, at once
 * - No exception crosses: function pointer types are noexcept for C++17 and later.
 * - Who allocates frees. Strings that are returned live as long as the comment says.
 */
#ifndef NACRE_ABI_BASE_H
#define NACRE_ABI_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define NACRE_NOEXCEPT noexcept
#else
#define NACRE_NOEXCEPT
#endif

/* The version of this contract. During 0.x each minor may change everything, so host and plugin must have the same one;
 * from 1.0 the minor only grows by what old plugins need not know, and only the major must be the same. */
#define NACRE_ABI_MAJOR 0u
#define NACRE_ABI_MINOR 1u

/* What a call that can fail returns. Zero is success; the words go to the call's error slot. */
enum {
  NACRE_OK = 0,
  NACRE_INVALID = -1,
  NACRE_NOT_FOUND = -2,
  NACRE_BUSY = -3,
  NACRE_UNSUPPORTED = -4,
  NACRE_NO_MEMORY = -5,
  NACRE_IO = -6,
  NACRE_DENIED = -7,
  NACRE_TIMEOUT = -8,
  NACRE_INTERNAL = -9,
  NACRE_PLUGIN_EXCEPTION = -10
};
typedef int32_t nacre_status;

/* Flag words: a reader that does not know a bit of the lower half must refuse; unknown bits above are ignored. */
#define NACRE_MUST_UNDERSTAND 0x0000ffffu

/* Handles that the host makes. Plugins keep the pointer and never look behind it. */
typedef struct nacre_instance nacre_instance; /* one device or machine */
typedef struct nacre_error nacre_error;       /* the words of a failing call, see error.h; may be NULL */

/* A callback with its context. */
typedef void (*nacre_callback)(void *opaque) NACRE_NOEXCEPT;

#endif
