#include "core/backend/block_channel.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/backend/block_transfer.hpp"
#include "core/backend/block_workers.hpp"
#include "core/base/log.hpp"
#include "core/loop/clock.hpp"

namespace nacre {

namespace {

constexpr size_t kBatch = 64;  // requests given back by one call
constexpr uint64_t kRetryNs = 1'000'000;

const char* name_of(uint32_t op) {
  return op == NACRE_BLOCK_FLUSH ? "flush" : op == NACRE_BLOCK_READ ? "read" : "write";
}

void say_once_without_ring(int error) {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  log::warn("block", "io_uring cannot be used here ({}); disks with aio=native or io_uring use a pool of threads.",
            strerror(error));
}

}  // namespace

BlockChannel::BlockChannel(std::shared_ptr<BlockBackend> backend, EventLoop& loop, nacre_block_completed completed,
                           void* opaque)
    : backend_(std::move(backend)),
      loop_(loop),
      completed_(completed),
      opaque_(opaque),
      engine_(backend_->options().engine()) {}

Result<std::unique_ptr<BlockChannel>> BlockChannel::open(std::shared_ptr<BlockBackend> backend, EventLoop& loop,
                                                         nacre_block_completed completed, void* opaque) {
  std::unique_ptr<BlockChannel> channel(new BlockChannel(std::move(backend), loop, completed, opaque));
  channel->wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!channel->wake_)
    return fail("drive '{}': cannot make an event descriptor: {}.", channel->backend_->options().id, strerror(errno));
  if (BlockDriver* driver = channel->backend_->driver()) {
    if (Status opened = driver->open(loop, completed_by_driver, channel.get()); !opened) return opened.error();
    channel->driver_open_ = true;
  }
  return channel;
}

BlockChannel::~BlockChannel() {
  if (watch_) loop_.unwatch(watch_);
  if (timer_) loop_.destroy(timer_);
  if (retry_) loop_.destroy(retry_);
  if (driver_open_) backend_->driver()->close();
  // A worker may still be leaving finished_by_worker().
  MutexLock lock(finished_mutex_);
}

// On the first request, in the loop's thread: a ring belongs to the thread that made it, and a disk that nobody uses
// costs nothing.
void BlockChannel::start_engine() {
  started_ = true;
  timer_ = loop_.timer([this] { progress(); });
  retry_ = loop_.timer([this] { progress(); });
  if (backend_->driver()) return;
  Result<Watch*> watch =
      loop_.watch(wake_.get(), EventLoop::kRead | EventLoop::kEdge, [this](uint32_t) { progress(); });
  if (!watch) {
    log::error("block", "drive '{}' is served synchronously: {}", backend_->options().id, watch.error().message);
    engine_ = BlockAio::Off;
    return;
  }
  watch_ = *watch;
  if (engine_ == BlockAio::Native || engine_ == BlockAio::IoUring) {
    if (int error = ring_.open(backend_->fd(), wake_.get())) {
      say_once_without_ring(error);
      engine_ = BlockAio::Threads;
    }
  }
}

void BlockChannel::submit(nacre_block_request* const* requests, uint32_t n) {
  if (!started_) start_engine();
  for (uint32_t i = 0; i < n; ++i) admit(*requests[i]);
  kick();
  deliver();
}

nacre_status BlockChannel::check(const nacre_block_request& request) const {
  if (request.op == NACRE_BLOCK_FLUSH) return NACRE_OK;
  if (request.op < NACRE_BLOCK_READ || request.op > NACRE_BLOCK_WRITE_ZEROES) return NACRE_UNSUPPORTED;
  if (request.op != NACRE_BLOCK_READ && backend_->options().readonly) return NACRE_DENIED;
  const uint64_t capacity = backend_->capacity();
  if (request.offset > capacity || request.length > capacity - request.offset) return NACRE_INVALID;
  if (request.op == NACRE_BLOCK_READ || request.op == NACRE_BLOCK_WRITE) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request.n_iov; ++i) {
      if (request.iov[i].iov_len > request.length - sum) return NACRE_INVALID;
      sum += request.iov[i].iov_len;
    }
    if (sum != request.length) return NACRE_INVALID;
  }
  return NACRE_OK;
}

void BlockChannel::admit(nacre_block_request& request) {
  BlockScratch& state = make_scratch(request, this);
  ++outstanding_;
  if (nacre_status status = check(request); status != NACRE_OK) return complete(request, status);
  if (request.length == 0 && request.op != NACRE_BLOCK_FLUSH) return complete(request, NACRE_OK);
  const DetectZeroes detect = backend_->options().detect_zeroes;
  if (request.op == NACRE_BLOCK_WRITE && detect != DetectZeroes::Off && is_zero(request.iov, request.n_iov)) {
    state.op = NACRE_BLOCK_WRITE_ZEROES;
    state.flags = detect == DetectZeroes::Unmap ? uint32_t{NACRE_BLOCK_UNMAP} : 0;
  }
  if (holding_ || backend_->throttle().limited()) {
    throttled_.push(request);
    ++waiting_;
    if (throttled_.front() == &request) release_throttled();
    return;
  }
  start(request);
}

// Passes on what the limit allows, in order, and sets the timer for the next.
void BlockChannel::release_throttled() {
  while (!throttled_.empty() && !holding_) {
    if (uint64_t wait = backend_->throttle().take(monotonic_ns())) {
      loop_.arm(timer_, wait);
      return;
    }
    --waiting_;
    start(*throttled_.pop());
  }
}

bool BlockChannel::fits_ring(nacre_block_request& request) const {
  if (!ring_.is_open() || ring_broken_) return false;
  const uint32_t op = scratch(request).op;
  if (op == NACRE_BLOCK_FLUSH) return true;
  return (op == NACRE_BLOCK_READ || op == NACRE_BLOCK_WRITE) && request.n_iov <= IOV_MAX &&
         request.length <= INT32_MAX && is_aligned(*backend_, request);
}

void BlockChannel::start(nacre_block_request& request) {
  backend_->set_under_way(outstanding_ - waiting_);
  if (backend_->driver()) return pending_.push(request);
  if (engine_ == BlockAio::Off) return complete(request, perform_block_request(*backend_, request));
  if (!fits_ring(request)) return to_worker(request);
  if (pending_.empty() && ring_.has_room())
    ring_.queue(request);
  else
    pending_.push(request);
}

void BlockChannel::to_worker(nacre_block_request& request) {
  worker_batch_.push(request);
  ++worker_batch_n_;
}

// Hands what was collected to the ring and the workers.
void BlockChannel::kick() {
  if (backend_->driver()) return to_driver();
  if (ring_.is_open()) {
    submit_ring();
    // What the page cache had is done already.
    reap();
  }
  if (worker_batch_n_) BlockWorkers::instance().run(std::move(worker_batch_), std::exchange(worker_batch_n_, 0));
}

// The driver is not called inside itself: what it completes in submit() waits until it has returned.
void BlockChannel::to_driver() {
  if (in_driver_) return;
  in_driver_ = true;
  while (!pending_.empty()) {
    std::array<nacre_block_request*, kBatch> batch;
    uint32_t n = 0;
    while (n < kBatch && !pending_.empty()) {
      batch[n] = pending_.pop();
      batch[n++]->status = NACRE_IO;  // for a driver that forgets to say
    }
    backend_->driver()->submit(batch.data(), n);
  }
  in_driver_ = false;
}

void BlockChannel::completed_by_driver(void* self, nacre_block_request* const* requests, uint32_t n) noexcept {
  auto& channel = *static_cast<BlockChannel*>(self);
  for (uint32_t i = 0; i < n; ++i) {
    nacre_block_request& request = *requests[i];
    // Given back a second time, it would be the guest's twice.
    if (scratch(request).channel != &channel) {
      log::error("block", "drive '{}': driver '{}' completed a request twice; that is a defect of its plugin.",
                 channel.backend_->options().id, channel.backend_->options().driver);
      continue;
    }
    scratch(request).channel = nullptr;
    if (request.status == NACRE_IO) channel.backend_->report(name_of(request.op), request.offset, request.length, EIO);
    channel.done_.push(request);
  }
  if (!channel.in_driver_) channel.deliver();
}

void BlockChannel::submit_ring() {
  while (!pending_.empty() && !ring_broken_ && ring_.has_room()) ring_.queue(*pending_.pop());
  if (ring_broken_) {
    while (nacre_block_request* request = pending_.pop()) to_worker(*request);
    return;
  }
  int error = ring_.submit();
  if (error == 0) return;
  if (error == EAGAIN) {
    loop_.arm(retry_, kRetryNs);
    return;
  }
  log::error("block", "drive '{}': io_uring takes no more requests ({}); a pool of threads goes on.",
             backend_->options().id, strerror(error));
  ring_broken_ = true;
  engine_ = BlockAio::Threads;
  uint32_t n = 0;
  BlockQueue back = ring_.take_back(n);
  worker_batch_.append(std::move(back));
  worker_batch_n_ += n;
  while (nacre_block_request* request = pending_.pop()) to_worker(*request);
}

void BlockChannel::reap() {
  do {
    ring_.reap([this](nacre_block_request& request, int result) { ring_completed(request, result); });
    if (pending_.empty() || !ring_.has_room()) return;
    submit_ring();
  } while (!ring_.idle());
}

void BlockChannel::ring_completed(nacre_block_request& request, int result) {
  BlockScratch& state = scratch(request);
  if (state.op == NACRE_BLOCK_FLUSH ? result == 0 : result >= 0 && static_cast<uint64_t>(result) == request.length)
    return complete(request, NACRE_OK);
  // Short, or refused for a reason that is the ring's and not the disk's: a worker does the rest, or finds the error.
  if (result > 0 && state.op != NACRE_BLOCK_FLUSH) state.done = static_cast<uint64_t>(result);
  if (result >= 0 || result == -EAGAIN || result == -EINTR || result == -EINVAL || result == -EOPNOTSUPP ||
      result == -ECANCELED)
    return to_worker(request);
  backend_->report(name_of(state.op), request.offset, request.length, -result);
  complete(request, NACRE_IO);
}

void BlockChannel::finished_by_worker(nacre_block_request& request) {
  // The signal is given under the lock: once the loop has seen the request, the channel may be gone.
  MutexLock lock(finished_mutex_);
  bool first = finished_.empty();
  finished_.push(request);
  if (!first) return;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

// Everything that can go on goes on: from the eventfd, a timer, or drain().
void BlockChannel::progress() {
  BlockQueue finished;
  {
    MutexLock lock(finished_mutex_);
    finished = std::move(finished_);
  }
  done_.append(std::move(finished));
  reap();
  release_throttled();
  kick();
  deliver();
}

void BlockChannel::complete(nacre_block_request& request, nacre_status status) {
  request.status = status;
  done_.push(request);
}

void BlockChannel::deliver() {
  // A submit() inside the callback only adds to the queue: however a guest goes on, the stack does not grow.
  if (delivering_) return;
  delivering_ = true;
  while (!done_.empty()) {
    std::array<nacre_block_request*, kBatch> batch;
    uint32_t n = 0;
    while (n < kBatch && !done_.empty()) {
      batch[n] = done_.pop();
      // Here, where those of the ring and those of the workers come together.
      backend_->statistics().count(*batch[n], batch[n]->status);
      ++n;
    }
    outstanding_ -= n;
    backend_->set_under_way(outstanding_ - waiting_);
    completed_(opaque_, batch.data(), n);
  }
  delivering_ = false;
  if (!to_tell_.empty() && settled()) tell_settled();
}

void BlockChannel::tell_settled() {
  for (auto& [settled, owner] : std::exchange(to_tell_, {})) loop_.post(std::move(settled), owner);
}

bool BlockChannel::hold(std::chrono::milliseconds patience, Settled settled, const void* owner) {
  using Clock = std::chrono::steady_clock;  // the host's, whatever time the guest has
  holding_ = true;
  // Those of a plugin's disk come on the loop, which does not run meanwhile.
  if (backend_->driver() && outstanding_ > waiting_ && patience.count() > 0) backend_->driver()->drain();
  for (const auto end = Clock::now() + patience; outstanding_ > waiting_;) {
    uint64_t count;
    [[maybe_unused]] ssize_t bytes = ::read(wake_.get(), &count, sizeof count);
    progress();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    if (this->settled() || left <= 0) break;
    pollfd wait{wake_.get(), POLLIN, 0};
    ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left, 100)));
  }
  if (this->settled()) return true;
  to_tell_.emplace_back(std::move(settled), owner);
  return false;
}

void BlockChannel::go_on() {
  holding_ = false;
  if (started_) progress();
}

void BlockChannel::drain() {
  const bool outer = std::exchange(delivering_, false);  // callable inside a completion, too
  while (outstanding_ > 0) {
    // The counter is taken before the queues are looked at, so what ends after that look ends the wait.
    uint64_t count;
    [[maybe_unused]] ssize_t bytes = ::read(wake_.get(), &count, sizeof count);
    while (nacre_block_request* request = throttled_.pop()) {
      --waiting_;
      complete(*request, NACRE_BUSY);
    }
    if (BlockDriver* driver = backend_->driver()) driver->drain();
    progress();
    if (outstanding_ == 0) break;
    pollfd wait{wake_.get(), POLLIN, 0};
    // Bounded only for a ring that wants to be asked again.
    ::poll(&wait, 1, 100);
  }
  holding_ = false;
  delivering_ = outer;
}

}  // namespace nacre
