// What is behind the handle of a claimed range. For the bus's own files.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/bus/address_space.hpp"

namespace nacre {

struct BusRegion {
  struct Event {
    kvm::IoEvent event;
    Fd fd;
  };

  uint64_t base;
  uint64_t length;
  uint32_t flags;
  nacre_mmio_ops ops;
  void* opaque;
  std::string owner;
  std::vector<Event> events;          // main only
  Mutex serialize;                    // around the owner's functions, for NACRE_MMIO_SERIALIZE
  std::atomic<uint64_t> reported{0};  // when a slow call was last told of, CLOCK_MONOTONIC ns
};

// The processor's counter: cheaper to read than the clock, in ticks of a rate that is found out by comparing both.
uint64_t counter_ticks();
uint64_t clock_ns();

}  // namespace nacre
