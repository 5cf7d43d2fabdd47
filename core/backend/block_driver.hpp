// Who serves a disk that is no file: the floor above makes one of a plugin's.
#pragma once

#include <nacre/abi/block.h>

#include "core/base/result.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// Made and destroyed on the main thread. The functions are those of nacre_block_driver_ops, where their contract is;
// the status of a request may be any number.
class BlockDriver {
 public:
  virtual ~BlockDriver() = default;
  virtual void describe(nacre_block_info& info) const = 0;
  // [main] On the thread of `loop`, which outlives the time until close(), comes what follows.
  virtual Status open(EventLoop& loop, nacre_block_completed completed, void* opaque) = 0;
  virtual void close() = 0;
  virtual void submit(nacre_block_request* const* requests, uint32_t n) = 0;
  virtual void drain() = 0;
};

}  // namespace nacre
