// Memory that a plugin takes from the heap while it is watched: this program's malloc() stands before the C library's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/plugin/module.hpp"

namespace nacre::check {

// Counts what the calling thread allocates as long as it lives, where the plugin asked for it: what the fake host needs
// for a service of its own does not count. One at a time for each thread. Counts nothing in a program that is built
// with a sanitizer, whose own allocator stands there.
class AllocationWatch {
 public:
  // `plugin` are its addresses.
  explicit AllocationWatch(const ImageRange& plugin);
  ~AllocationWatch();
  AllocationWatch(const AllocationWatch&) = delete;
  AllocationWatch& operator=(const AllocationWatch&) = delete;

  size_t count() const { return count_; }
  // Where in the plugin the first one was asked for: an offset in its file, as addr2line takes it.
  uintptr_t first() const { return first_; }

  // From the function of that name.
  void on_allocation(const void* caller);

 private:
  const ImageRange plugin_, program_;
  size_t count_ = 0;
  uintptr_t first_ = 0;
};

// What malloc() and its like call: somebody has called them from `caller`.
void on_allocation(const void* caller);

}  // namespace nacre::check
