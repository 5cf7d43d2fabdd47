// Memory given back to the host while the guest runs: what a balloon does.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "core/memory/guest_memory.hpp"
#include "core/memory/parts.hpp"

namespace nacre {

GuestMemory::Discarded GuestMemory::discard(uint64_t gpa, uint64_t length) {
  if (pins_.load() != 0) return Discarded::Pinned;
  const nacre_memory_view* view = acquire();
  bool done = true;
  const bool all = for_each_part(*view, gpa, length, NACRE_MEMORY_READONLY, [&](uint8_t* hva, uint64_t, uint64_t part) {
    for_each_backend(hva, part, [&](MemoryBackend& backend, uint8_t* at, uint64_t, uint64_t length_there) {
      done = discard_part(backend, at, length_there) && done;
    });
  });
  release(view);
  if (!all) return Discarded::NotRam;
  return done ? Discarded::Done : Discarded::Refused;
}

bool GuestMemory::discard_part(MemoryBackend& backend, uint8_t* hva, uint64_t length) {
  const uint64_t address = reinterpret_cast<uintptr_t>(hva);
  const uint64_t head = std::min(length, (kPageSize - address % kPageSize) % kPageSize);
  const uint64_t pages = (length - head) & ~(kPageSize - 1);
  std::memset(hva, 0, head);
  std::memset(hva + head + pages, 0, length - head - pages);
  return pages == 0 || (backend.discard(hva + head, pages) &&
                        (!backend.anonymous() || discard_over_files(backend, hva + head, pages)));
}

// Where load_file() has mapped a file, MADV_DONTNEED brings the file's bytes back: other memory takes the place.
bool GuestMemory::discard_over_files(const MemoryBackend& backend, uint8_t* hva, uint64_t length) {
  MutexLock lock(files_lock_);
  for (std::span<uint8_t> file : files_) {
    uint8_t* begin = std::max(hva, file.data());
    uint8_t* end = std::min(hva + length, file.data() + file.size());
    if (begin >= end) continue;
    const auto size = static_cast<size_t>(end - begin);
    if (::mmap(begin, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
      return false;
    if (!backend.dumped()) ::madvise(begin, size, MADV_DONTDUMP);
    ::madvise(begin, size, MADV_DONTFORK);
  }
  return true;
}

void GuestMemory::note_file(uint8_t* hva, uint64_t length) {
  MutexLock lock(files_lock_);
  // The same files come again after each reset.
  for (std::span<uint8_t> file : files_)
    if (file.data() == hva && file.size() == length) return;
  files_.emplace_back(hva, length);
}

}  // namespace nacre
