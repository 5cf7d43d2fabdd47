#include "core/base/memory_reserve.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace nacre::memory_reserve {
namespace {

// Several, so that threads that run out at once are all served. Each is small enough to lie in the heap, whence free
// memory can be taken for it again, and large enough that few of its pages are written to by malloc().
constexpr size_t kBlock = 120 << 10;
std::array<std::atomic<void*>, 4> blocks;
std::atomic<bool> whole{true};

// operator new calls this when there is no memory, and tries again if it returns.
void give_back_a_block() {
  whole.store(false, std::memory_order_relaxed);
  for (std::atomic<void*>& block : blocks)
    if (void* memory = block.exchange(nullptr)) {
      std::free(memory);
      return;
    }
  throw std::bad_alloc();
}

}  // namespace

void take() {
  std::set_new_handler(give_back_a_block);
  whole.store(false, std::memory_order_relaxed);
  restore();
}

bool restore() {
  if (whole.load(std::memory_order_relaxed)) return true;
  // First, so that a block that is given back meanwhile is seen by the next call.
  whole.store(true, std::memory_order_relaxed);
  size_t held = 0;
  for (std::atomic<void*>& block : blocks) {
    if (!block.load()) {
      void* memory = std::malloc(kBlock);
      void* none = nullptr;
      if (!memory) {
        whole.store(false, std::memory_order_relaxed);
        continue;
      }
      if (!block.compare_exchange_strong(none, memory)) std::free(memory);  // another thread was quicker
    }
    ++held;
  }
  return held >= blocks.size() / 2;
}

}  // namespace nacre::memory_reserve
