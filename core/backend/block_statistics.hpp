// What has been done with a disk, for query-blockstats.
#pragma once

#include <nacre/abi/block.h>

#include <atomic>
#include <cstdint>

namespace nacre {

// Counted by the one thread that serves the disk, read by any: plain loads and stores, no locked instruction.
class BlockStatistics {
 public:
  struct Kind {
    std::atomic<uint64_t> operations{0}, bytes{0}, failed{0};
  };

  // [loop] A request has ended.
  void count(const nacre_block_request& request, nacre_status status) {
    Kind& kind = of(request.op);
    if (status != NACRE_OK) return add(kind.failed, 1);
    add(kind.operations, 1);
    add(kind.bytes, request.length);
  }
  // [any] Requests of that operation (NACRE_BLOCK_*) that have succeeded, their bytes, and those that have failed.
  const Kind& of(uint32_t op) const { return kinds_[op <= NACRE_BLOCK_WRITE_ZEROES ? op : 0]; }

 private:
  Kind& of(uint32_t op) { return kinds_[op <= NACRE_BLOCK_WRITE_ZEROES ? op : 0]; }
  static void add(std::atomic<uint64_t>& counter, uint64_t more) {
    counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }

  Kind kinds_[NACRE_BLOCK_WRITE_ZEROES + 1];  // [0]: what is no operation
};

}  // namespace nacre
