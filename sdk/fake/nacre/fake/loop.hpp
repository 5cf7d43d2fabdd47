// A fake event loop: served by whoever asks, so that a test decides when a device gets its turn.
#pragma once

#include <nacre/abi/loop.h>

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <nacre/mutex.hpp>
#include <thread>
#include <vector>

struct nacre_watch {
  nacre_loop* loop;
  int fd;
  nacre_callback ready;
  void* opaque;
};

struct nacre_timer {
  nacre_loop* loop;
  nacre_callback expired;
  void* opaque;
  uint64_t at;  // nanoseconds of the loop's clock; 0: it is not running
};

// Owned by the thread that made it, which alone serves it.
struct nacre_loop {
  nacre_loop();
  ~nacre_loop();
  nacre_loop(const nacre_loop&) = delete;
  nacre_loop& operator=(const nacre_loop&) = delete;

  bool is_current() const { return owner_ == std::this_thread::get_id(); }
  // NULL when the descriptor cannot be waited for.
  nacre_watch* watch(int fd, uint32_t events, nacre_callback ready, void* opaque);
  void unwatch(nacre_watch* watch);
  nacre_timer* timer(nacre_callback expired, void* opaque);
  void destroy(nacre_timer* timer);
  // [any]
  void post(std::function<void()> function);
  // Forgets what has been posted and has not run: what the host does after unrealize().
  void drop_posts();
  // [any] Waits until it has run; at once on the loop's own thread.
  void call(const std::function<void()>& function);

  // Serves whatever is ready until `done()` holds; false when `timeout` is over first.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout);
  // Serves what is ready now, and what comes of it, until nothing is; at most for `timeout`.
  void settle(std::chrono::milliseconds timeout = std::chrono::milliseconds(200));
  // Serves what is ready at this moment, without waiting; false when there was nothing.
  bool serve() { return serve_once(0); }
  // Lets that much time pass at once for this loop's timers, and serves those that are due.
  void advance(std::chrono::nanoseconds time);
  // The same, with the timers left to whoever serves the loop next.
  void let_pass(std::chrono::nanoseconds time) { advanced_ += static_cast<uint64_t>(time.count()); }
  // The loop's clock, in nanoseconds: the monotonic one and what advance() has added.
  uint64_t now() const;

  // What devices have not given back.
  size_t watches() const { return watches_.size(); }
  size_t timers() const { return timers_.size(); }

 private:
  bool serve_once(int timeout_ms);
  bool serve_posts();
  bool expire();

  std::thread::id owner_ = std::this_thread::get_id();
  int epoll_;
  int wake_;
  uint64_t advanced_ = 0;  // nanoseconds
  std::list<std::unique_ptr<nacre_watch>> watches_;
  std::list<std::unique_ptr<nacre_timer>> timers_;
  nacre::sdk::Mutex mutex_;
  std::vector<std::function<void()>> posts_ NACRE_GUARDED_BY(mutex_);
};
