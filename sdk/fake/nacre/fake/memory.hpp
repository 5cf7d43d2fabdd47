// Fake guest memory: two regions of RAM with a hole between them, and canaries around each.
#pragma once

#include <nacre/abi/memory.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace nacre::fake {

class Memory {
 public:
  static constexpr uint64_t kLowSize = 4 << 20;  // at 0
  static constexpr uint64_t kHighBase = uint64_t{1} << 32;
  static constexpr uint64_t kHighSize = 1 << 20;

  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // [any] The view that devices see; counted.
  const nacre_memory_view* acquire();
  void release(const nacre_memory_view* view);
  // Views that have not been released.
  int views() const { return views_; }

  // [any] The host address of a range, or NULL when part of it is not RAM.
  uint8_t* at(uint64_t gpa, uint64_t length) const;
  void clear();
  // Whether nothing has been written outside the regions, next to them.
  bool canaries_alive() const;

 private:
  uint8_t* map(uint64_t size, int fd, uint64_t offset);

  int fd_;
  std::array<uint8_t*, 2> base_;  // with a page of canaries before and behind
  std::array<nacre_memory_region, 2> regions_{};
  nacre_memory_view view_{};
  std::atomic<int> views_{0};
};

}  // namespace nacre::fake
