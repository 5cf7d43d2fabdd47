// A lock that other threads may hold while they wait for this thread's loop.
#pragma once

#include <chrono>

#include "core/base/mutex.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// [any] Holds it to the end of the scope. A thread that owns a loop serves that loop's posts until it has it, so that a
// holder who waits in EventLoop::call() for this thread comes to its end.
class NACRE_SCOPED_CAPABILITY ServingLock {
 public:
  explicit ServingLock(Mutex& mutex) NACRE_ACQUIRE(mutex) : mutex_(mutex) { take(); }
  ~ServingLock() NACRE_RELEASE() { give_back(); }
  ServingLock(const ServingLock&) = delete;
  ServingLock& operator=(const ServingLock&) = delete;

 private:
  // The predicate takes the lock, which the analysis does not see through the loop.
  void take() NACRE_NO_THREAD_SAFETY_ANALYSIS {
    EventLoop* own = EventLoop::current();
    if (!own) return mutex_.lock();
    bool held = mutex_.try_lock();
    while (!held)
      held = own->run_posted_until([&]() NACRE_NO_THREAD_SAFETY_ANALYSIS { return mutex_.try_lock(); },
                                   std::chrono::milliseconds(1));
  }
  void give_back() NACRE_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }

  Mutex& mutex_;
};

}  // namespace nacre
