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
    done = discard_part(hva, part) && done;
  });
  release(view);
  if (!all) return Discarded::NotRam;
  return done ? Discarded::Done : Discarded::Refused;
}

bool GuestMemory::discard_part(uint8_t* hva, uint64_t length) {
  const uint64_t address = reinterpret_cast<uintptr_t>(hva);
  const uint64_t head = std::min(length, (kPageSize - address % kPageSize) % kPageSize);
  const uint64_t pages = (length - head) & ~(kPageSize - 1);
  std::memset(hva, 0, head);
  std::memset(hva + head + pages, 0, length - head - pages);
  return pages == 0 || discard_pages(hva + head, pages);
}

bool GuestMemory::discard_pages(uint8_t* hva, uint64_t length) {
  // Linux Documentation: madvise(2). DONTNEED only unmaps shared pages; a hole in the file frees them for everybody.
  if (options_.shared)
    return ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, hva - base_,
                       static_cast<off_t>(length)) == 0;
  return ::madvise(hva, length, MADV_DONTNEED) == 0 && discard_over_files(hva, length);
}

// Where load_file() has mapped a file, MADV_DONTNEED brings the file's bytes back: other memory takes the place.
bool GuestMemory::discard_over_files(uint8_t* hva, uint64_t length) {
  std::lock_guard lock(files_lock_);
  for (std::span<uint8_t> file : files_) {
    uint8_t* begin = std::max(hva, file.data());
    uint8_t* end = std::min(hva + length, file.data() + file.size());
    if (begin >= end) continue;
    const auto size = static_cast<size_t>(end - begin);
    if (::mmap(begin, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
      return false;
    if (!options_.dump_guest_core) ::madvise(begin, size, MADV_DONTDUMP);
    ::madvise(begin, size, MADV_DONTFORK);
  }
  return true;
}

void GuestMemory::note_file(uint8_t* hva, uint64_t length) {
  std::lock_guard lock(files_lock_);
  // The same files come again after each reset.
  for (std::span<uint8_t> file : files_)
    if (file.data() == hva && file.size() == length) return;
  files_.emplace_back(hva, length);
}

}  // namespace nacre
