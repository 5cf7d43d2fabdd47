#include "core/loop/clock.hpp"
#include "core/vm/host/services.hpp"

// The handles of plugins are the loop's own, with the loop that they belong to.
struct nacre_watch {
  nacre::EventLoop* loop;
  nacre::Watch* watch;
};

struct nacre_timer {
  nacre::EventLoop* loop;
  nacre::Timer* timer;
};

namespace nacre::services {
namespace {

// A plugin's handle of a loop is its instance, so that what the instance has posted can be told from others' posts.
nacre_instance& instance_of(nacre_loop* loop) {
  return *reinterpret_cast<nacre_instance*>(loop);
}

EventLoop* of_handle(nacre_loop* loop) {
  return instance_of(loop).loop;
}

nacre_loop* of(nacre_instance* instance) noexcept {
  return reinterpret_cast<nacre_loop*>(instance);
}

uint8_t is_current(nacre_loop* loop) noexcept {
  return of_handle(loop)->is_current();
}

nacre_status watch(nacre_loop* loop, int32_t fd, uint32_t events, nacre_callback ready, void* opaque,
                   nacre_watch** watch, nacre_error* slot) noexcept {
  static_assert(NACRE_LOOP_READ == static_cast<uint32_t>(EventLoop::kRead) &&
                NACRE_LOOP_WRITE == static_cast<uint32_t>(EventLoop::kWrite) &&
                NACRE_LOOP_EDGE == static_cast<uint32_t>(EventLoop::kEdge));
  EventLoop* own = of_handle(loop);
  Status outcome;
  own->call([&] {
    Result<Watch*> made = own->watch(fd, events, [=](uint32_t) { ready(opaque); });
    if (made)
      *watch = new nacre_watch{own, *made};
    else
      outcome = made.error();
  });
  return finish(outcome, slot);
}

void unwatch(nacre_watch* watch) noexcept {
  watch->loop->call([&] { watch->loop->unwatch(watch->watch); });
  delete watch;
}

nacre_status timer(nacre_loop* loop, nacre_callback expired, void* opaque, nacre_timer** timer, nacre_error*) noexcept {
  EventLoop* own = of_handle(loop);
  own->call([&] { *timer = new nacre_timer{own, own->timer([=] { expired(opaque); })}; });
  return NACRE_OK;
}

void timer_arm(nacre_timer* timer, uint64_t ns) noexcept {
  timer->loop->arm(timer->timer, ns);
}

void timer_destroy(nacre_timer* timer) noexcept {
  timer->loop->call([&] { timer->loop->destroy(timer->timer); });
  delete timer;
}

void post(nacre_loop* loop, nacre_callback callback, void* opaque) noexcept {
  nacre_instance& instance = instance_of(loop);
  // Under the lock until it is posted: end_posts() drops either all of it or refuses it.
  MutexLock lock(instance.posting->mutex);
  if (!instance.posting->ended) instance.loop->post([=] { callback(opaque); }, &instance);
}

void call(nacre_loop* loop, nacre_callback callback, void* opaque) noexcept {
  of_handle(loop)->call([=] { callback(opaque); });
}

uint64_t now(uint32_t clock) noexcept {
  return clock == NACRE_CLOCK_REALTIME ? realtime_ns() : monotonic_ns();
}

}  // namespace

void end_posts(nacre_instance& instance) {
  {
    MutexLock lock(instance.posting->mutex);
    instance.posting->ended = true;
  }
  instance.loop->drop(&instance);
}

const nacre_loop_v1 kLoop{sizeof(nacre_loop_v1), 0,    of,   is_current, watch, unwatch, timer, timer_arm,
                          timer_destroy,         post, call, now};

}  // namespace nacre::services
