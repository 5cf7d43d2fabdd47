// The end of a machine does not wait for ever: its process ends without the disks that do not answer.
#pragma once

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "core/backend/block_backend.hpp"
#include "core/base/mutex.hpp"
#include "core/vm/disks.hpp"

namespace nacre {

// While it lives, the machine is taken apart, on the thread that has made it. Where that waits for requests at the
// host, and for so long none of them has ended, a thread of its own says which drives they are of, removes the files
// that the process has made, and ends it with status 1.
class EndLimit {
 public:
  static constexpr std::chrono::seconds kPatience{5};

  explicit EndLimit(const Disks& disks);
  ~EndLimit();
  EndLimit(const EndLimit&) = delete;
  EndLimit& operator=(const EndLimit&) = delete;

 private:
  void watch();
  std::vector<uint32_t> under_way() const;
  [[noreturn]] void give_up() const;

  // Not kept alive: a plugin's disk is to go before its plugin.
  std::vector<std::weak_ptr<BlockBackend>> disks_;
  Mutex mutex_;
  Condition changed_;
  bool done_ NACRE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace nacre
