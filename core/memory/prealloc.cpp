#include "core/memory/prealloc.hpp"

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace nacre {
namespace {

constexpr uint64_t kChunk = 64u << 20;  // what a thread takes at a time; a multiple of the smaller huge pages
constexpr uint64_t kMaxThreads = 16;

int populate_stretch(uint8_t* at, uint64_t length, uint64_t page_size) {
  for (;;) {
    if (::madvise(at, length, MADV_POPULATE_WRITE) == 0) return 0;
    if (errno == EINVAL) return populate_by_touching(at, length, page_size);
    if (errno != EINTR && errno != EAGAIN) return errno;
  }
}

}  // namespace

int populate(uint8_t* at, uint64_t length, uint64_t page_size) {
  const uint64_t step = std::max(kChunk, page_size);
  const uint64_t chunks = (length + step - 1) / step;
  std::atomic<uint64_t> next{0};
  std::atomic<int> error{0};
  auto work = [&] {
    for (uint64_t chunk; error == 0 && (chunk = next.fetch_add(1)) < chunks;)
      if (int failed = populate_stretch(at + chunk * step, std::min(step, length - chunk * step), page_size))
        error = failed;
  };
  const uint64_t threads = std::clamp<uint64_t>(std::thread::hardware_concurrency(), 1, std::min(kMaxThreads, chunks));
  std::vector<std::thread> others;
  try {
    for (uint64_t i = 1; i < threads; ++i) others.emplace_back(work);
  } catch (const std::system_error&) {
    // The host allows no more: those that there are do it.
  }
  work();
  for (std::thread& thread : others) thread.join();
  return error;
}

// The kernel copies a byte of each page onto itself: where there is no page to be had, that is an error to it, where a
// store of our own would be a SIGBUS.
int populate_by_touching(uint8_t* at, uint64_t length, uint64_t page_size) {
  constexpr size_t kBatch = 512;
  iovec bytes[kBatch];
  for (uint64_t done = 0; done < length;) {
    size_t count = 0;
    for (; count < kBatch && done < length; ++count, done += page_size) bytes[count] = {at + done, 1};
    const ssize_t copied = ::process_vm_writev(::getpid(), bytes, count, bytes, count, 0);
    if (copied < 0) return errno;
    if (static_cast<size_t>(copied) != count) return EFAULT;
  }
  return 0;
}

}  // namespace nacre
