// A lock that other threads may hold while they wait for this thread's loop.
#pragma once

#include <chrono>
#include <mutex>

#include "core/loop/event_loop.hpp"

namespace nacre {

// [any] Locks it; a thread that owns a loop serves that loop's posts meanwhile, so that a holder who waits in
// EventLoop::call() for this thread comes to its end.
inline std::unique_lock<std::mutex> lock_and_serve(std::mutex& mutex) {
  std::unique_lock lock(mutex, std::try_to_lock);
  while (!lock) {
    if (EventLoop* own = EventLoop::current())
      own->run_posted_until([&] { return lock.try_lock(); }, std::chrono::milliseconds(1));
    else
      lock.lock();
  }
  return lock;
}

}  // namespace nacre
