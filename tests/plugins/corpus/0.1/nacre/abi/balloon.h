/* The machine's balloon: how much memory the guest is asked to give back, and how much it has given. */
#ifndef NACRE_ABI_BALLOON_H
#define NACRE_ABI_BALLOON_H

#include <nacre/abi/base.h>

typedef struct nacre_balloon nacre_balloon;

/* What the guest's driver tells about its memory: virtio 1.2 §5.5.6.4 gives the places of `values`. */
enum { NACRE_BALLOON_STATS_MAX = 16 };
typedef struct nacre_balloon_stats {
  uint32_t size;
  uint32_t known;       /* bit n: values[n] was told */
  uint64_t last_update; /* seconds since 1970; 0: nothing was told yet */
  uint64_t values[NACRE_BALLOON_STATS_MAX];
} nacre_balloon_stats;

typedef struct nacre_balloon_ops {
  uint32_t size;
  uint32_t reserved;
  /* [main] Asks the guest to keep only `bytes` of its memory; more than there is means all. Returns at once: the guest
   * follows as it likes. NACRE_NOT_FOUND when no driver is active. */
  nacre_status (*set_target)(void *self, uint64_t bytes) NACRE_NOEXCEPT;
  /* [main] The memory that the guest has now, in bytes. NACRE_NOT_FOUND when no driver is active. */
  nacre_status (*actual)(void *self, uint64_t *bytes) NACRE_NOEXCEPT;
  /* [main] The newest statistics, and asks the driver for newer ones. NACRE_NOT_FOUND when no driver is active,
   * NACRE_UNSUPPORTED when it gives none. May be NULL. */
  nacre_status (*stats)(void *self, nacre_balloon_stats *stats) NACRE_NOEXCEPT;
} nacre_balloon_ops;

#define NACRE_EXT_BALLOON "nacre.balloon/1"
typedef struct nacre_balloon_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in realize] This device is the machine's balloon. NACRE_BUSY when there is one already, or when a device has
   * pinned guest memory (memory.h). `self` is passed to the ops, which must live until detach(). */
  nacre_status (*attach)(nacre_instance *instance, const nacre_balloon_ops *ops, void *self, nacre_balloon **balloon,
                         nacre_error *error) NACRE_NOEXCEPT;
  /* [main] */
  void (*detach)(nacre_balloon *balloon) NACRE_NOEXCEPT;
  /* [any] The guest's memory is `actual` bytes now: told to management clients (event BALLOON_CHANGED). Each call is
   * an event; it is the device that does not call for every page. */
  void (*changed)(nacre_balloon *balloon, uint64_t actual) NACRE_NOEXCEPT;
} nacre_balloon_v1;

#endif
