// Threads that do block requests which would block a loop: one small pool for the whole process.
#pragma once

#include "core/backend/block_request.hpp"
#include "core/base/mutex.hpp"

namespace nacre {

// Any thread. Its threads are started when there is work for them and then stay.
class BlockWorkers {
 public:
  static constexpr uint32_t kMaxThreads = 8;

  static BlockWorkers& instance();
  // Takes over the requests; each is handed to BlockChannel::finished_by_worker() of its channel once it is done.
  void run(BlockQueue&& requests, uint32_t n);

 private:
  void start_threads() NACRE_REQUIRES(mutex_);
  void work();

  Mutex mutex_;
  Condition waiting_;
  BlockQueue queue_ NACRE_GUARDED_BY(mutex_);
  uint32_t queued_ NACRE_GUARDED_BY(mutex_) = 0;
  uint32_t idle_ NACRE_GUARDED_BY(mutex_) = 0;
  uint32_t threads_ NACRE_GUARDED_BY(mutex_) = 0;
};

}  // namespace nacre
