// An event loop: one thread waits for descriptors, timers and calls from other threads.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/base/result.hpp"

namespace nacre {

struct Watch;
struct Timer;

// Owned by one thread: the one that created it, until another calls adopt(). Functions marked [any] may be called on
// every thread; [loop] only on the owner; the others on the owner or, through call(), on any other thread while the
// loop runs.
class EventLoop {
 public:
  // Events asked for and reported. Hangup and Error are always reported and need not be asked for: a callback that
  // sees them and keeps its level-triggered watch is called again at once.
  enum : uint32_t { kRead = 1u << 0, kWrite = 1u << 1, kEdge = 1u << 2, kHangup = 1u << 3, kError = 1u << 4 };

  using Ready = std::function<void(uint32_t events)>;
  using Function = std::function<void()>;
  using Predicate = std::function<bool()>;

  static constexpr std::chrono::nanoseconds kForever = std::chrono::nanoseconds::max();

  // Makes a loop owned by the calling thread. Fails when the process is out of descriptors.
  static Result<std::unique_ptr<EventLoop>> create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `ready` on the loop's thread whenever `fd` is as asked, until unwatch(). The descriptor stays the caller's
  // and must stay open until then. Fails when the descriptor cannot be waited for (a regular file) or is watched
  // already. The handle is the loop's.
  Result<Watch*> watch(int fd, uint32_t events, Ready ready);
  // Replaces the events asked for; 0 leaves only Hangup and Error.
  Status modify(Watch* watch, uint32_t events);
  // Ends it: its callback is not running elsewhere and will not come once this has returned, even when its event was
  // already fetched. May be called inside the callback itself.
  void unwatch(Watch* watch);

  // Makes a timer that is not running; `expired` comes on the loop's thread. The handle is the loop's.
  Timer* timer(Function expired);
  // [loop] Expires once, `ns` nanoseconds from now; again replaces; 0 stops, 1 is the loop's next turn. Allocates
  // nothing.
  void arm(Timer* timer, uint64_t ns);
  // As unwatch().
  void destroy(Timer* timer);

  // [loop] When the next timer expires, by monotonic_ns(); UINT64_MAX when none runs.
  uint64_t next_deadline() const;
  // [loop] Calls what has expired: for whoever has moved virtual time (clock.hpp), which wakes no loop by itself.
  void expire_due();

  // [any] Runs `function` on the loop's thread soon, in the order of the posts. `owner` is whose it is, for drop().
  void post(Function function, const void* owner = nullptr);
  // [any] The same for what waits for other threads itself: it runs after the posts, by run() alone and never inside
  // run_posted_until(), so that whoever waits there does not wait for it, nor it for them.
  void post_alone(Function function);
  // Forgets what this owner has posted and has not run: none of it is running elsewhere or will run once this has
  // returned.
  void drop(const void* owner);
  // [any] Runs it on the loop's thread and waits until it has returned; runs it at once on the loop's own thread. A
  // caller that owns another loop serves that loop's posts meanwhile, so that two loops may call each other.
  void call(const Function& function);
  // [any] Makes run_posted_until() look at its predicate again, as every post does.
  void wake();

  // [loop] Serves watches, timers and posts until stop(); posts that came before the stop have been served on return.
  void run();
  // [any] Makes run() return after the callback it is in; a stop before run() makes that return at once.
  void stop();

  // [loop] Serves posts, and nothing else, until `done()` is true: for waiting on threads that may themselves be
  // waiting in call(). Whoever makes `done()` true must post() or wake() afterwards. May nest. Returns false when the
  // time is over first.
  bool run_posted_until(const Predicate& done, std::chrono::nanoseconds timeout = kForever);

  // [any]
  bool is_current() const { return owner_.load(std::memory_order_acquire) == std::this_thread::get_id(); }
  // The loop that the calling thread owns (the one it created or adopted last), or NULL.
  static EventLoop* current();
  // Makes the calling thread the owner; the old owner uses the loop no more.
  void adopt();

 private:
  EventLoop() = default;
  Status open();
  int wait(epoll_event* events);
  void dispatch();
  void serve_posts();
  void serve_alone();
  bool serve_one_post();
  void expire_timers();
  void collect();
  Result<Watch*> add_watch(int fd, uint32_t events, Ready ready);
  void heap_place(size_t slot, Timer* timer);
  void heap_up(size_t slot);
  void heap_down(size_t slot);
  void heap_remove(Timer* timer);

  Fd epoll_;
  Fd wake_fd_;
  std::atomic<std::thread::id> owner_;
  std::atomic<bool> stop_{false};

  std::vector<std::unique_ptr<Watch>> watches_;
  std::vector<std::unique_ptr<Timer>> timers_;
  std::vector<Timer*> heap_;  // by deadline; capacity for every timer, so that arm() never allocates
  int depth_ = 0;             // callbacks under way; what they removed is freed when none is
  bool garbage_ = false;

  Mutex mutex_;
  Condition posted_;
  struct Post {
    Function function;
    const void* owner;
  };
  std::vector<Post> queue_ NACRE_GUARDED_BY(mutex_);
  size_t head_ NACRE_GUARDED_BY(mutex_) = 0;  // of the queue: those before it have run
  std::vector<Function> alone_ NACRE_GUARDED_BY(mutex_);
  uint64_t wakes_ NACRE_GUARDED_BY(mutex_) = 0;
  bool signalled_ NACRE_GUARDED_BY(mutex_) =
      false;  // the eventfd has been or is just being written, and epoll has not reported it yet
};

}  // namespace nacre
