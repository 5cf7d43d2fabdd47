// What is behind the handles of an event loop. For the loop's own files.
#pragma once

#include "core/loop/event_loop.hpp"

namespace nacre {

struct Watch {
  int fd;
  EventLoop::Ready ready;
  bool live = true;
};

struct Timer {
  static constexpr size_t kIdle = SIZE_MAX;

  EventLoop::Function expired;
  uint64_t deadline = 0;  // of monotonic_ns()
  size_t slot = kIdle;    // in the heap
  bool live = true;
};

}  // namespace nacre
