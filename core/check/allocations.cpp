#include "allocations.hpp"

#include <execinfo.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "sanitized.hpp"

namespace nacre::check {
namespace {

// NULL where nobody watches the thread, and while the watch itself is at work.
constinit thread_local AllocationWatch* watching = nullptr;

constexpr int kDepth = 64;  // frames at which is looked

}  // namespace

AllocationWatch::AllocationWatch(const ImageRange& plugin)
    : plugin_(plugin), program_(image_range(reinterpret_cast<const void*>(&image_range))) {
  void* frames[1];
  (void)::backtrace(frames, 1);  // its first call loads a library
  watching = this;
}

AllocationWatch::~AllocationWatch() {
  watching = nullptr;
}

void AllocationWatch::on_allocation(const void* caller) {
  watching = nullptr;
  void* frames[kDepth];
  const int depth = ::backtrace(frames, kDepth);
  int i = 0;
  while (i < depth && frames[i] != caller) ++i;
  // Whoever of the two comes first has asked: the libraries between do it for them.
  for (; i < depth; ++i) {
    const auto address = reinterpret_cast<uintptr_t>(frames[i]);
    if (program_.holds(address)) break;
    if (!plugin_.holds(address)) continue;
    if (count_++ == 0) first_ = address - plugin_.start;
    break;
  }
  watching = this;
}

void on_allocation(const void* caller) {
  if (watching) watching->on_allocation(caller);
}

}  // namespace nacre::check

#ifndef NACRE_CHECK_SANITIZED
// The C library's own, by the names that it has for those who stand before them.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

#define NACRE_STANDS_BEFORE __attribute__((visibility("default"), noinline))

NACRE_STANDS_BEFORE void* malloc(size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  return __libc_malloc(size);
}
NACRE_STANDS_BEFORE void* calloc(size_t count, size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  return __libc_calloc(count, size);
}
NACRE_STANDS_BEFORE void* realloc(void* memory, size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  return __libc_realloc(memory, size);
}
NACRE_STANDS_BEFORE void* memalign(size_t alignment, size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  return __libc_memalign(alignment, size);
}
NACRE_STANDS_BEFORE void* aligned_alloc(size_t alignment, size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  return __libc_memalign(alignment, size);
}
NACRE_STANDS_BEFORE int posix_memalign(void** memory, size_t alignment, size_t size) {
  nacre::check::on_allocation(__builtin_return_address(0));
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}
#endif
