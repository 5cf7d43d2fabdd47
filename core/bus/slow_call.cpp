// The guard against devices that hold a vCPU too long.
#include <fmt/format.h>

#include <ctime>

#include "core/bus/region.hpp"

namespace nacre {

uint64_t clock_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t counter_ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return clock_ns();
#endif
}

std::string describe(const SlowCall& call) {
  return fmt::format("{} held vCPU {} for {} ms in {}_{}({:#x}); limit {} ms. (Reported once a minute.)", call.owner,
                     call.vcpu, call.nanoseconds / 1'000'000, call.space == NACRE_SPACE_PIO ? "pio" : "mmio",
                     call.write ? "write" : "read", call.offset, AddressSpace::kSlowCallNs / 1'000'000);
}

void AddressSpace::measure(BusRegion& region, uint32_t reader, bool write, uint64_t offset, uint64_t begin) {
  const uint64_t ticks = counter_ticks() - begin;
  // No counter is slower than 10 MHz: below this it cannot have been a millisecond, and nothing more is asked.
  if (ticks < kSlowCallNs / 100) [[likely]]
    return;
  const uint64_t now = clock_ns();
  const uint64_t elapsed_ticks = counter_ticks() - clock_ticks_;
  if (elapsed_ticks == 0) return;
  const auto ns = static_cast<uint64_t>(static_cast<double>(ticks) * static_cast<double>(now - clock_ns_) /
                                        static_cast<double>(elapsed_ticks));
  if (ns < kSlowCallNs || !options_.slow) return;
  uint64_t last = region.reported.load(std::memory_order_relaxed);
  if (last != 0 && now - last < kReportIntervalNs) return;
  if (!region.reported.compare_exchange_strong(last, now, std::memory_order_relaxed)) return;
  options_.slow({region.owner.c_str(), reader, options_.space, write, offset, ns});
}

}  // namespace nacre
