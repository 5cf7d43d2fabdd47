#include "core/loop/event_loop.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "core/base/memory_reserve.hpp"
#include "core/loop/clock.hpp"
#include "core/loop/handles.hpp"

namespace nacre {
namespace {

constexpr int kBatch = 64;

thread_local EventLoop* t_current = nullptr;

uint32_t to_epoll(uint32_t events) {
  uint32_t bits = 0;
  if (events & EventLoop::kRead) bits |= EPOLLIN | EPOLLRDHUP;
  if (events & EventLoop::kWrite) bits |= EPOLLOUT;
  if (events & EventLoop::kEdge) bits |= EPOLLET;
  return bits;
}

uint32_t from_epoll(uint32_t bits) {
  uint32_t events = 0;
  if (bits & EPOLLIN) events |= EventLoop::kRead;
  if (bits & EPOLLOUT) events |= EventLoop::kWrite;
  if (bits & (EPOLLHUP | EPOLLRDHUP)) events |= EventLoop::kHangup;
  if (bits & EPOLLERR) events |= EventLoop::kError;
  return events;
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  if (Status opened = loop->open(); !opened) return opened.error();
  loop->adopt();
  return loop;
}

Status EventLoop::open() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail("cannot make an event loop: {}.", strerror(errno));
  wake_fd_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd_) return fail("cannot make the wake-up descriptor of an event loop: {}.", strerror(errno));
  // Edge-triggered, so that it is never read: a write is an event, whatever the counter says.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd_.get(), &event) < 0)
    return fail("cannot watch the wake-up descriptor of an event loop: {}.", strerror(errno));
  return {};
}

EventLoop::~EventLoop() {
  if (t_current == this) t_current = nullptr;
}

EventLoop* EventLoop::current() {
  return t_current;
}

void EventLoop::adopt() {
  owner_.store(std::this_thread::get_id(), std::memory_order_release);
  t_current = this;
}

Result<Watch*> EventLoop::watch(int fd, uint32_t events, Ready ready) {
  if (is_current()) return add_watch(fd, events, std::move(ready));
  Result<Watch*> result = nullptr;
  call([&] { result = add_watch(fd, events, std::move(ready)); });
  return result;
}

Result<Watch*> EventLoop::add_watch(int fd, uint32_t events, Ready ready) {
  auto watch = std::make_unique<Watch>(Watch{fd, std::move(ready)});
  epoll_event event{};
  event.events = to_epoll(events);
  event.data.ptr = watch.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
    const char* why =
        errno == EPERM ? "it is no descriptor that can be waited for, like a regular file" : strerror(errno);
    return fail("cannot wait for events of descriptor {}: {}.", fd, why);
  }
  watches_.push_back(std::move(watch));
  return watches_.back().get();
}

Status EventLoop::modify(Watch* watch, uint32_t events) {
  if (!is_current()) {
    Status result;
    call([&] { result = modify(watch, events); });
    return result;
  }
  epoll_event event{};
  event.events = to_epoll(events);
  event.data.ptr = watch;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, watch->fd, &event) < 0)
    return fail("cannot change the events waited for of descriptor {}: {}.", watch->fd, strerror(errno));
  return {};
}

void EventLoop::unwatch(Watch* watch) {
  if (!is_current()) {
    call([&] { unwatch(watch); });
    return;
  }
  // Fails only when the descriptor was closed too early, which has removed it already.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watch->fd, nullptr);
  watch->live = false;
  garbage_ = true;
  if (depth_ == 0) collect();
}

// Frees what was removed, once no callback can be inside it and no fetched event can point at it.
void EventLoop::collect() {
  garbage_ = false;
  std::erase_if(watches_, [](const auto& watch) { return !watch->live; });
  std::erase_if(timers_, [](const auto& timer) { return !timer->live; });
}

void EventLoop::post(Function function, const void* owner) {
  bool signal;
  {
    MutexLock lock(mutex_);
    queue_.push_back({std::move(function), owner});
    ++wakes_;
    signal = !std::exchange(signalled_, true);
    posted_.notify_all();
  }
  if (signal) {
    uint64_t one = 1;
    // Fails only when the counter is full, after 2^64 - 2 posts.
    [[maybe_unused]] ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
  }
}

void EventLoop::post_alone(Function function) {
  {
    MutexLock lock(mutex_);
    alone_.push_back(std::move(function));
  }
  post([] {});  // wakes the loop
}

void EventLoop::drop(const void* owner) {
  if (!is_current()) {
    call([&] { drop(owner); });
    return;
  }
  std::vector<Function> dropped;  // freed without the lock
  MutexLock lock(mutex_);
  for (size_t i = head_; i < queue_.size(); ++i)
    if (queue_[i].owner == owner) dropped.push_back(std::exchange(queue_[i].function, [] {}));
}

void EventLoop::wake() {
  MutexLock lock(mutex_);
  ++wakes_;
  posted_.notify_all();
}

void EventLoop::call(const Function& function) {
  if (is_current()) {
    function();
    return;
  }
  EventLoop* own = current();
  std::atomic<bool> done{false};
  if (own) {
    post([&function, &done, own] {
      function();
      // As one post, so that the caller cannot be gone, with `done` and perhaps its loop, between store and wake-up.
      own->post([&done] { done.store(true, std::memory_order_relaxed); });
    });
    own->run_posted_until([&done] { return done.load(std::memory_order_relaxed); });
    return;
  }
  Mutex mutex;
  Condition finished;
  post([&] {
    function();
    // Notified under the lock: the caller destroys both as soon as it can take it.
    MutexLock lock(mutex);
    done.store(true, std::memory_order_relaxed);
    finished.notify_one();
  });
  MutexLock lock(mutex);
  while (!done.load(std::memory_order_relaxed)) finished.wait(lock);
}

bool EventLoop::serve_one_post() {
  Function function;
  {
    MutexLock lock(mutex_);
    if (head_ == queue_.size()) return false;
    function = std::move(queue_[head_++].function);
    if (head_ == queue_.size()) {
      queue_.clear();
      head_ = 0;
    } else if (head_ >= 1024 && head_ * 2 >= queue_.size()) {
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(head_));
      head_ = 0;
    }
  }
  ++depth_;
  function();
  --depth_;
  return true;
}

void EventLoop::serve_posts() {
  size_t waiting;
  {
    MutexLock lock(mutex_);
    signalled_ = false;
    waiting = queue_.size() - head_;
  }
  // Those that are posted meanwhile come after the descriptors have had their turn.
  while (waiting-- > 0 && serve_one_post()) {
  }
}

void EventLoop::serve_alone() {
  std::vector<Function> waiting;
  {
    MutexLock lock(mutex_);
    waiting.swap(alone_);
  }
  ++depth_;
  for (const Function& function : waiting) function();
  --depth_;
}

bool EventLoop::run_posted_until(const Predicate& done, std::chrono::nanoseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const bool forever = timeout == kForever;
  const Clock::time_point end = forever ? Clock::time_point::max() : Clock::now() + timeout;
  for (;;) {
    uint64_t seen;
    {
      MutexLock lock(mutex_);
      seen = wakes_;
    }
    if (done()) return true;
    if (serve_one_post()) continue;
    MutexLock lock(mutex_);
    while (wakes_ == seen && head_ == queue_.size()) {
      if (forever) {
        posted_.wait(lock);
      } else if (!posted_.wait_until(lock, end)) {
        lock.unlock();
        return done();
      }
    }
  }
}

int EventLoop::wait(epoll_event* events) {
  if (heap_.empty()) return ::epoll_wait(epoll_.get(), events, kBatch, -1);
  uint64_t now = monotonic_ns();
  uint64_t ns = heap_[0]->deadline > now ? heap_[0]->deadline - now : 0;
  if (ns && is_time_virtual()) return ::epoll_wait(epoll_.get(), events, kBatch, -1);
  timespec timeout{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  int count = ::epoll_pwait2(epoll_.get(), events, kBatch, &timeout, nullptr);
  if (count >= 0 || errno == EINTR) return count;
  // A kernel or a system call filter that does not know it: whole milliseconds, rounded up.
  uint64_t ms = std::min<uint64_t>((ns + 999'999) / 1'000'000, 60'000);
  return ::epoll_wait(epoll_.get(), events, kBatch, static_cast<int>(ms));
}

void EventLoop::dispatch() {
  std::array<epoll_event, kBatch> events;
  int count = wait(events.data());
  ++depth_;
  bool posts = false;
  for (int i = 0; i < count; ++i) {
    auto* watch = static_cast<Watch*>(events[static_cast<size_t>(i)].data.ptr);
    if (!watch)
      posts = true;
    else if (watch->live)
      watch->ready(from_epoll(events[static_cast<size_t>(i)].events));
  }
  if (!heap_.empty()) expire_timers();
  if (posts) {
    serve_posts();
    serve_alone();
  }
  --depth_;
  if (garbage_ && depth_ == 0) collect();
  memory_reserve::restore();
}

void EventLoop::run() {
  while (!stop_.load(std::memory_order_acquire)) dispatch();
  stop_.store(false, std::memory_order_relaxed);
  serve_posts();
  serve_alone();
  if (garbage_ && depth_ == 0) collect();
}

void EventLoop::stop() {
  stop_.store(true, std::memory_order_release);
  post([] {});
}

}  // namespace nacre
