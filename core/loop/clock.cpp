#include "core/loop/clock.hpp"

#include <atomic>
#include <ctime>

namespace nacre {
namespace {

uint64_t read(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::atomic<bool> g_virtual{false};
std::atomic<uint64_t> g_now{0};
uint64_t g_real_begin = 0;  // written before g_virtual

}  // namespace

uint64_t monotonic_ns() {
  return is_time_virtual() ? g_now.load(std::memory_order_acquire) : read(CLOCK_MONOTONIC);
}

uint64_t realtime_ns() {
  return is_time_virtual() ? g_real_begin + g_now.load(std::memory_order_acquire) : read(CLOCK_REALTIME);
}

void begin_virtual_time() {
  begin_virtual_time(is_time_virtual() ? g_real_begin : read(CLOCK_REALTIME));
}

void begin_virtual_time(uint64_t real_ns) {
  g_real_begin = real_ns;
  g_now.store(0, std::memory_order_release);
  g_virtual.store(true, std::memory_order_release);
}

bool is_time_virtual() {
  return g_virtual.load(std::memory_order_acquire);
}

void move_virtual_time(uint64_t ns) {
  uint64_t now = g_now.load(std::memory_order_relaxed);
  while (now < ns && !g_now.compare_exchange_weak(now, ns, std::memory_order_acq_rel)) {
  }
}

}  // namespace nacre
