// How a device uses a disk: requests in, completions out, on the device's loop.
#pragma once

#include <nacre/abi/block.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <vector>

#include "core/backend/block_backend.hpp"
#include "core/backend/block_request.hpp"
#include "core/backend/block_ring.hpp"
#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// Created and destroyed on the main thread; submit() and drain() on the loop's. Allocates nothing per request.
class BlockChannel {
 public:
  // `completed(opaque, requests, n)` comes on the loop, also inside submit() and drain(); it may call submit(). Fails
  // when the process is out of descriptors, or in the words of the disk's driver. The loop outlives the channel.
  static Result<std::unique_ptr<BlockChannel>> open(std::shared_ptr<BlockBackend> backend, EventLoop& loop,
                                                    nacre_block_completed completed, void* opaque);
  // Nothing is in flight.
  ~BlockChannel();
  BlockChannel(const BlockChannel&) = delete;
  BlockChannel& operator=(const BlockChannel&) = delete;

  BlockBackend& backend() { return *backend_; }
  // The engine in use: what was asked for, or Threads where the host has no io_uring (known after the first request).
  BlockAio engine() const { return engine_; }

  // [loop] Starts the requests, with one system call where the engine can. Each is completed exactly once, with
  // NACRE_OK, NACRE_INVALID (outside the disk, or `length` is not the sum of its buffers), NACRE_DENIED (a change of a
  // read-only disk), NACRE_UNSUPPORTED (no such operation) or NACRE_IO.
  void submit(nacre_block_request* const* requests, uint32_t n);
  // [loop] Returns when nothing is in flight, completions come meanwhile. What waits, be it for the drive's limit of
  // requests per second or since hold(), is completed with NACRE_BUSY; later ones start again.
  void drain();
  // [loop] What is submitted from now on waits, until go_on() or drain(). True when nothing is under way at the host,
  // which it is given so long to answer; otherwise `settled` comes once when that is so, as a post to the loop in the
  // name of `owner` (EventLoop::drop() forgets it). After true, drain() waits for nothing.
  using Settled = std::function<void()>;
  bool hold(std::chrono::milliseconds patience, Settled settled, const void* owner);
  // [loop] What was held starts.
  void go_on();

  // [worker] The request, whose status is set, is done.
  void finished_by_worker(nacre_block_request& request);

 private:
  BlockChannel(std::shared_ptr<BlockBackend> backend, EventLoop& loop, nacre_block_completed completed, void* opaque);
  void start_engine();
  void admit(nacre_block_request& request);
  nacre_status check(const nacre_block_request& request) const;
  bool fits_ring(nacre_block_request& request) const;
  void start(nacre_block_request& request);
  void to_driver();
  static void completed_by_driver(void* self, nacre_block_request* const* requests, uint32_t n) noexcept;
  void to_worker(nacre_block_request& request);
  void kick();
  void submit_ring();
  void reap();
  void ring_completed(nacre_block_request& request, int result);
  void release_throttled();
  void complete(nacre_block_request& request, nacre_status status);
  void deliver();
  void progress();
  bool settled() const { return outstanding_ == waiting_; }
  void tell_settled();

  std::shared_ptr<BlockBackend> backend_;
  EventLoop& loop_;
  nacre_block_completed completed_;
  void* opaque_;
  BlockAio engine_;
  bool started_ = false;
  bool ring_broken_ = false;
  bool delivering_ = false;
  bool in_driver_ = false;  // what it completes meanwhile is given back when it has returned
  bool driver_open_ = false;
  bool holding_ = false;
  uint32_t outstanding_ = 0;  // taken by submit() and not yet given back
  uint32_t waiting_ = 0;      // of them, those in throttled_
  uint32_t worker_batch_n_ = 0;

  Fd wake_;  // eventfd: the ring or a worker has completed something; never read while watched, edge-triggered
  Watch* watch_ = nullptr;
  Timer* timer_ = nullptr;  // the next token of the throttle
  Timer* retry_ = nullptr;  // the ring was refused for lack of kernel memory
  BlockRing ring_;
  BlockQueue pending_;                                    // wait for room in the ring, or for the driver to be called
  BlockQueue worker_batch_;                               // collected for the workers
  BlockQueue throttled_;                                  // wait for the drive's limit, or for go_on()
  BlockQueue done_;                                       // to be given back
  std::vector<std::pair<Settled, const void*>> to_tell_;  // when nothing is under way

  Mutex finished_mutex_;
  BlockQueue finished_ NACRE_GUARDED_BY(finished_mutex_);  // by workers
};

}  // namespace nacre
