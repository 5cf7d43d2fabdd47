/* Event loops: the main thread's, and those of iothreads. Each instance has one; its callbacks all come on it. */
#ifndef NACRE_ABI_LOOP_H
#define NACRE_ABI_LOOP_H

#include <nacre/abi/base.h>

typedef struct nacre_loop nacre_loop;
typedef struct nacre_watch nacre_watch;
typedef struct nacre_timer nacre_timer;

enum {
  NACRE_LOOP_READ = 1u << 0,
  NACRE_LOOP_WRITE = 1u << 1,
  NACRE_LOOP_EDGE = 1u << 2 /* once per change: an eventfd need not be read, which saves a system call each time */
};

/* CLOCK_MONOTONIC and CLOCK_REALTIME. */
enum { NACRE_CLOCK_MONOTONIC = 0, NACRE_CLOCK_REALTIME = 1 };

#define NACRE_EXT_LOOP "nacre.loop/1"
typedef struct nacre_loop_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [any] The loop of this instance: of the iothread that its property `iothread` names, else the main one. The handle is
   * the instance's own and good until its destroy() has returned. */
  nacre_loop *(*of)(nacre_instance *instance) NACRE_NOEXCEPT;
  /* [any] Nonzero on the loop's own thread. */
  uint8_t (*is_current)(nacre_loop *loop) NACRE_NOEXCEPT;
  /* [loop, main before activation] Calls back on [loop] whenever fd is ready. */
  nacre_status (*watch)(nacre_loop *loop, int32_t fd, uint32_t events, nacre_callback ready, void *opaque,
                        nacre_watch **watch, nacre_error *error) NACRE_NOEXCEPT;
  /* [loop, main] No callback is running elsewhere or will come once it has returned. */
  void (*unwatch)(nacre_watch *watch) NACRE_NOEXCEPT;
  /* [loop, main] Makes a timer that is not running. */
  nacre_status (*timer)(nacre_loop *loop, nacre_callback expired, void *opaque, nacre_timer **timer,
                        nacre_error *error) NACRE_NOEXCEPT;
  /* [loop] Runs once after `ns` nanoseconds; again replaces; 0 stops. */
  void (*timer_arm)(nacre_timer *timer, uint64_t ns) NACRE_NOEXCEPT;
  /* [loop, main] As unwatch. */
  void (*timer_destroy)(nacre_timer *timer) NACRE_NOEXCEPT;
  /* [any] Runs callback(opaque) on the loop soon. What has not run by the time that unrealize() has returned, or a
   * realize() that failed, is dropped: none of it comes during or after destroy(), and `opaque` is freed by its owner. */
  void (*post)(nacre_loop *loop, nacre_callback callback, void *opaque) NACRE_NOEXCEPT;
  /* [any] Runs it on the loop and waits; at once when called on the loop itself. */
  void (*call)(nacre_loop *loop, nacre_callback callback, void *opaque) NACRE_NOEXCEPT;
  /* [any] Nanoseconds of one of NACRE_CLOCK_*, in which timers run: under a test that drives the machine the time is
   * virtual, so devices ask here and not the kernel. */
  uint64_t (*now)(uint32_t clock) NACRE_NOEXCEPT;
} nacre_loop_v1;

#endif
