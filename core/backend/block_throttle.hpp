// A limit of requests per second, shared by everything that uses a drive.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace nacre {

// A token bucket that holds one second's worth, kept as the one time at which it will be full again (the generic cell
// rate algorithm), so that threads share it without a lock. Any thread.
class BlockThrottle {
 public:
  explicit BlockThrottle(uint64_t per_second)
      : cost_ns_(per_second ? std::max<uint64_t>(kSecond / per_second, 1) : 0) {}

  bool limited() const { return cost_ns_ != 0; }

  // Takes one token at the time `now` (CLOCK_MONOTONIC, ns) and returns 0, or returns in how many ns there is one.
  uint64_t take(uint64_t now) {
    if (!limited()) return 0;
    uint64_t full = full_at_.load(std::memory_order_relaxed);
    for (;;) {
      uint64_t next = std::max(full, now) + cost_ns_;
      if (next - now > kSecond) return next - now - kSecond;
      if (full_at_.compare_exchange_weak(full, next, std::memory_order_relaxed)) return 0;
    }
  }

 private:
  static constexpr uint64_t kSecond = 1'000'000'000;
  uint64_t cost_ns_;
  std::atomic<uint64_t> full_at_{0};
};

}  // namespace nacre
