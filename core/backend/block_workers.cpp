#include "core/backend/block_workers.hpp"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <system_error>
#include <thread>

#include "core/backend/block_channel.hpp"
#include "core/backend/block_transfer.hpp"
#include "core/base/mutex.hpp"
#include "core/sandbox/sandbox.hpp"

namespace nacre {

namespace {
Mutex g_mutex;  // so that only one is made
std::atomic<BlockWorkers*> g_workers{nullptr};
}  // namespace

BlockWorkers& BlockWorkers::instance() {
  if (BlockWorkers* workers = g_workers.load(std::memory_order_acquire)) return *workers;
  MutexLock lock(g_mutex);
  if (BlockWorkers* workers = g_workers.load(std::memory_order_relaxed)) return *workers;
  // A child of fork(), as a daemon is one, has none of the threads of its parent and starts its own.
  static const int registered = ::pthread_atfork(nullptr, nullptr, [] { g_workers = nullptr; });
  static_cast<void>(registered);
  // Never destroyed: its threads may be waiting in it until the process ends.
  auto* workers = new BlockWorkers;
  g_workers.store(workers, std::memory_order_release);
  return *workers;
}

void BlockWorkers::run(BlockQueue&& requests, uint32_t n) {
  BlockQueue alone;
  {
    MutexLock lock(mutex_);
    queue_.append(std::move(requests));
    queued_ += n;
    if (idle_ < queued_ && threads_ < kMaxThreads) start_threads();
    if (threads_ == 0) {
      alone = std::move(queue_);
      queued_ = 0;
    }
  }
  if (n == 1)
    waiting_.notify_one();
  else
    waiting_.notify_all();
  // Not one thread to be had: slow is better than never.
  while (nacre_block_request* request = alone.pop()) {
    BlockChannel* channel = scratch(*request).channel;
    request->status = perform_block_request(channel->backend(), *request);
    channel->finished_by_worker(*request);
  }
}

void BlockWorkers::start_threads() {
  // Signals are for the main thread: a new thread takes over the mask of the one that starts it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (threads_ < kMaxThreads && idle_ < queued_) {
    try {
      std::thread([this] { work(); }).detach();
    } catch (const std::system_error&) {
      break;  // as many as the system gives
    }
    ++threads_;
    ++idle_;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void BlockWorkers::work() {
  pthread_setname_np(pthread_self(), "block worker");
  MutexLock lock(mutex_);
  for (;;) {
    // A thread counts as idle from its start, see run().
    while (queue_.empty()) waiting_.wait(lock);
    nacre_block_request* request = queue_.pop();
    --queued_;
    --idle_;
    lock.unlock();
    sandbox::narrow(sandbox::Kind::Worker);  // here, since it may be older than the sandbox
    BlockChannel* channel = scratch(*request).channel;
    request->status = perform_block_request(channel->backend(), *request);
    channel->finished_by_worker(*request);
    lock.lock();
    ++idle_;
  }
}

}  // namespace nacre
