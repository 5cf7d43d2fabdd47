#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <nacre/fake/loop.hpp>

nacre_loop::nacre_loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
}

nacre_loop::~nacre_loop() {
  ::close(epoll_);
  ::close(wake_);
}

nacre_watch* nacre_loop::watch(int fd, uint32_t events, nacre_callback ready, void* opaque) {
  auto watch = std::make_unique<nacre_watch>(nacre_watch{this, fd, ready, opaque});
  epoll_event event{};
  if (events & NACRE_LOOP_READ) event.events |= EPOLLIN;
  if (events & NACRE_LOOP_WRITE) event.events |= EPOLLOUT;
  if (events & NACRE_LOOP_EDGE) event.events |= EPOLLET;
  event.data.ptr = watch.get();
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) < 0) return nullptr;
  watches_.push_back(std::move(watch));
  return watches_.back().get();
}

void nacre_loop::unwatch(nacre_watch* watch) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, watch->fd, nullptr);
  watches_.remove_if([&](auto& one) { return one.get() == watch; });
}

nacre_timer* nacre_loop::timer(nacre_callback expired, void* opaque) {
  timers_.push_back(std::make_unique<nacre_timer>(nacre_timer{this, expired, opaque, 0}));
  return timers_.back().get();
}

void nacre_loop::destroy(nacre_timer* timer) {
  timers_.remove_if([&](auto& one) { return one.get() == timer; });
}

void nacre_loop::post(std::function<void()> function) {
  {
    nacre::sdk::MutexLock lock(mutex_);
    posts_.push_back(std::move(function));
  }
  ::eventfd_write(wake_, 1);
}

void nacre_loop::drop_posts() {
  std::vector<std::function<void()>> dropped;  // freed without the lock
  nacre::sdk::MutexLock lock(mutex_);
  dropped.swap(posts_);
}

void nacre_loop::call(const std::function<void()>& function) {
  if (is_current()) return function();
  nacre::sdk::Mutex mutex;
  nacre::sdk::Condition changed;
  bool done = false;
  post([&] {
    function();
    nacre::sdk::MutexLock lock(mutex);
    done = true;
    changed.notify_one();
  });
  nacre::sdk::MutexLock lock(mutex);
  while (!done) changed.wait(lock);
}

bool nacre_loop::serve_posts() {
  std::vector<std::function<void()>> posts;
  {
    nacre::sdk::MutexLock lock(mutex_);
    posts.swap(posts_);
  }
  for (auto& post : posts) post();
  return !posts.empty();
}

bool nacre_loop::expire() {
  bool any = false;
  for (;;) {
    const uint64_t time = now();
    auto due = std::find_if(timers_.begin(), timers_.end(), [&](auto& one) { return one->at && one->at <= time; });
    if (due == timers_.end()) return any;
    nacre_timer* timer = due->get();
    timer->at = 0;
    timer->expired(timer->opaque);
    any = true;
  }
}

// Serves what is ready, waiting up to `timeout_ms` for the first; false when there was nothing.
bool nacre_loop::serve_once(int timeout_ms) {
  bool any = serve_posts();
  any = expire() || any;
  if (any) timeout_ms = 0;
  uint64_t next = 0;
  for (auto& timer : timers_)
    if (timer->at && (!next || timer->at < next)) next = timer->at;
  if (next) {
    const uint64_t time = now();
    timeout_ms = std::min(timeout_ms, next <= time ? 0 : static_cast<int>((next - time) / 1000000 + 1));
  }
  // One at a time: a callback may end any other watch.
  epoll_event event;
  if (::epoll_wait(epoll_, &event, 1, timeout_ms) != 1) return expire() || any;
  if (auto* watch = static_cast<nacre_watch*>(event.data.ptr)) {
    watch->ready(watch->opaque);
  } else {
    eventfd_t ignored;
    ::eventfd_read(wake_, &ignored);
    serve_posts();
  }
  return true;
}

bool nacre_loop::run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    serve_once(5);
  }
  return true;
}

void nacre_loop::settle(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (serve_once(2) && std::chrono::steady_clock::now() < deadline) continue;
}

void nacre_loop::advance(std::chrono::nanoseconds time) {
  let_pass(time);
  settle();
}

uint64_t nacre_loop::now() const {
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot).count()) + advanced_;
}
