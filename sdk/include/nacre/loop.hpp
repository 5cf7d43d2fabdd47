// The event loop of a device, with handles that give back what they took.
#pragma once

#include <cstddef>
#include <ctime>
#include <nacre/boundary.hpp>
#include <utility>

namespace nacre::sdk {

// [any] Nanoseconds of NACRE_CLOCK_MONOTONIC or NACRE_CLOCK_REALTIME, in which timers run: virtual under a test. A host
// of before has no other time than the kernel's.
inline uint64_t now(uint32_t clock = NACRE_CLOCK_MONOTONIC) {
  if (host.loop && host.loop->size > offsetof(nacre_loop_v1, now)) return host.loop->now(clock);
  timespec time{};
  ::clock_gettime(clock == NACRE_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Calls `ready(opaque)` on the loop while it lives. Movable.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept : watch_(std::exchange(other.watch_, nullptr)) {}
  Watch& operator=(Watch&& other) noexcept {
    std::swap(watch_, other.watch_);
    return *this;
  }
  ~Watch() { stop(); }

  // `events` are NACRE_LOOP_* bits.
  Status start(nacre_loop* loop, int fd, uint32_t events, nacre_callback ready, void* opaque, nacre_error* slot) {
    stop();
    return ErrorSlot::wrap(slot, "the event loop takes no more descriptors", [&](nacre_error* error) {
      return host.loop->watch(loop, fd, events, ready, opaque, &watch_, error);
    });
  }
  void stop() {
    if (watch_) host.loop->unwatch(std::exchange(watch_, nullptr));
  }

 private:
  nacre_watch* watch_ = nullptr;
};

// Calls `expired(opaque)` on the loop, once for each time it is armed, while it lives.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { stop(); }

  // Makes it; it does not run yet.
  Status start(nacre_loop* loop, nacre_callback expired, void* opaque, nacre_error* slot) {
    stop();
    return ErrorSlot::wrap(slot, "the event loop takes no more timers",
                           [&](nacre_error* error) { return host.loop->timer(loop, expired, opaque, &timer_, error); });
  }
  // [loop] Runs once after `ns` nanoseconds, at least 1; again replaces.
  void arm(uint64_t ns) { host.loop->timer_arm(timer_, ns); }
  void disarm() { host.loop->timer_arm(timer_, 0); }
  void stop() {
    if (timer_) host.loop->timer_destroy(std::exchange(timer_, nullptr));
  }

 private:
  nacre_timer* timer_ = nullptr;
};

}  // namespace nacre::sdk
