// So many bytes in each period, and no more.
#pragma once

#include <algorithm>
#include <cstdint>

namespace nacre::virtio_rng {

// Time is the caller's: nanoseconds of one clock that never goes back. A period begins with the first bytes that are
// asked for after the one before has ended, so that an idle source saves nothing up.
class RateLimit {
 public:
  // No limit.
  RateLimit() = default;
  // At most `bytes`, at least 1, in each `period` nanoseconds.
  RateLimit(uint64_t bytes, uint64_t period) : bytes_(bytes), period_(period) {}

  // How many of `wanted` bytes may be taken now; 0 when the period's are used up.
  uint64_t allowed(uint64_t wanted, uint64_t now) {
    if (period_ == 0) return wanted;
    if (now >= end_) {
      left_ = bytes_;
      end_ = now + period_;
    }
    return std::min(wanted, left_);
  }
  // `bytes` were taken, at most what allowed() has returned.
  void take(uint64_t bytes) {
    if (period_ != 0) left_ -= bytes;
  }
  // Nanoseconds until the next period, at least 1; for when allowed() has returned 0.
  uint64_t wait(uint64_t now) const { return now < end_ ? end_ - now : 1; }

 private:
  uint64_t bytes_ = 0;
  uint64_t period_ = 0;
  uint64_t left_ = 0;
  uint64_t end_ = 0;
};

}  // namespace nacre::virtio_rng
