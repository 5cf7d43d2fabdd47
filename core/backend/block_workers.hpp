// Threads that do block requests which would block a loop: one small pool for the whole process.
#pragma once

#include <condition_variable>
#include <mutex>

#include "core/backend/block_request.hpp"

namespace nacre {

// Any thread. Its threads are started when there is work for them and then stay.
class BlockWorkers {
 public:
  static constexpr uint32_t kMaxThreads = 8;

  static BlockWorkers& instance();
  // Takes over the requests; each is handed to BlockChannel::finished_by_worker() of its channel once it is done.
  void run(BlockQueue&& requests, uint32_t n);

 private:
  void start_threads();
  void work();

  std::mutex mutex_;
  std::condition_variable waiting_;
  BlockQueue queue_;
  uint32_t queued_ = 0;
  uint32_t idle_ = 0;
  uint32_t threads_ = 0;
};

}  // namespace nacre
