// The timers of an event loop: a binary heap by deadline, in which each timer knows its place.
#include <algorithm>

#include "core/loop/clock.hpp"
#include "core/loop/event_loop.hpp"
#include "core/loop/handles.hpp"

namespace nacre {

Timer* EventLoop::timer(Function expired) {
  if (!is_current()) {
    Timer* made = nullptr;
    call([&] { made = timer(std::move(expired)); });
    return made;
  }
  timers_.push_back(std::make_unique<Timer>());
  timers_.back()->expired = std::move(expired);
  heap_.reserve(timers_.size());
  return timers_.back().get();
}

void EventLoop::arm(Timer* timer, uint64_t ns) {
  if (timer->slot != Timer::kIdle) heap_remove(timer);
  if (ns == 0 || !timer->live) return;
  uint64_t now = monotonic_ns();
  // One nanosecond is the loop's next turn, for which no time need pass: also when it is virtual.
  if (ns == 1 && is_time_virtual()) ns = 0;
  timer->deadline = ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
  heap_.push_back(timer);
  timer->slot = heap_.size() - 1;
  heap_up(timer->slot);
}

void EventLoop::destroy(Timer* timer) {
  if (!is_current()) {
    call([&] { destroy(timer); });
    return;
  }
  arm(timer, 0);
  timer->live = false;
  garbage_ = true;
  if (depth_ == 0) collect();
}

void EventLoop::expire_timers() {
  uint64_t now = monotonic_ns();
  // `now` is read once: a timer that arms itself again waits for the next round, however short its time.
  while (!heap_.empty() && heap_[0]->deadline <= now) {
    Timer* timer = heap_[0];
    heap_remove(timer);
    timer->expired();
  }
}

void EventLoop::expire_due() {
  ++depth_;
  expire_timers();
  --depth_;
  if (garbage_ && depth_ == 0) collect();
}

uint64_t EventLoop::next_deadline() const {
  return heap_.empty() ? UINT64_MAX : heap_[0]->deadline;
}

void EventLoop::heap_place(size_t slot, Timer* timer) {
  heap_[slot] = timer;
  timer->slot = slot;
}

void EventLoop::heap_up(size_t slot) {
  Timer* timer = heap_[slot];
  while (slot > 0) {
    size_t parent = (slot - 1) / 2;
    if (heap_[parent]->deadline <= timer->deadline) break;
    heap_place(slot, heap_[parent]);
    slot = parent;
  }
  heap_place(slot, timer);
}

void EventLoop::heap_down(size_t slot) {
  Timer* timer = heap_[slot];
  for (;;) {
    size_t child = slot * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->deadline < heap_[child]->deadline) ++child;
    if (timer->deadline <= heap_[child]->deadline) break;
    heap_place(slot, heap_[child]);
    slot = child;
  }
  heap_place(slot, timer);
}

void EventLoop::heap_remove(Timer* timer) {
  size_t slot = timer->slot;
  timer->slot = Timer::kIdle;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == timer) return;
  heap_place(slot, last);
  heap_up(slot);
  heap_down(last->slot);
}

}  // namespace nacre
