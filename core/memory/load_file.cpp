// Files into guest memory: kernels and initial file systems, mapped where that is possible.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/memory/guest_memory.hpp"
#include "core/memory/parts.hpp"

namespace nacre {
namespace {

Status copy_in(uint8_t* to, int fd, uint64_t offset, uint64_t length) {
  while (length > 0) {
    ssize_t count = ::pread(fd, to, length, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail("reading a file into guest memory failed: {}.", strerror(errno));
    if (count == 0) return fail("a file became shorter while it was read into guest memory.");
    to += count;
    offset += static_cast<uint64_t>(count);
    length -= static_cast<uint64_t>(count);
  }
  return {};
}

}  // namespace

Status GuestMemory::load_file(uint64_t gpa, int fd, uint64_t offset, uint64_t length) {
  uint64_t end = 0;
  if (__builtin_add_overflow(offset, length, &end) || end > static_cast<uint64_t>(INT64_MAX))
    return fail("a file cannot be read at offset {:#x} for {:#x} bytes.", offset, length);
  struct stat info {};
  if (::fstat(fd, &info) < 0) return fail("cannot ask for the size of a file: {}.", strerror(errno));
  if (S_ISREG(info.st_mode) && end > static_cast<uint64_t>(info.st_size))
    return fail("a file has {} bytes, but is to be read up to byte {}.", info.st_size, end);

  const nacre_memory_view* view = acquire();
  Status loaded;
  const bool all = for_each_part(*view, gpa, length, 0, [&](uint8_t* hva, uint64_t done, uint64_t part) {
    for_each_backend(hva, part, [&](MemoryBackend& backend, uint8_t* at, uint64_t before, uint64_t length_there) {
      if (loaded) loaded = load_part(backend, at, fd, offset + done + before, length_there);
    });
  });
  release(view);
  if (!all) return fail("a file of {} bytes does not fit at {:#x}: not all of that is memory.", length, gpa);
  return loaded;
}

Status GuestMemory::load_part(const MemoryBackend& backend, uint8_t* hva, int fd, uint64_t offset, uint64_t length) {
  const uint64_t address = reinterpret_cast<uintptr_t>(hva);
  // Up to the first whole page, and what whole pages there are. Memory of a file must keep that behind it.
  const uint64_t head = std::min(length, (kPageSize - address % kPageSize) % kPageSize);
  const uint64_t pages = (length - head) & ~(kPageSize - 1);
  // RAM on huge pages is filled, not mapped over: pieces of a file come into the guest 4 KiB at a time, and the faults
  // cost a booting kernel more (0.1 s of 1.4 s) than copying it does.
  if (!backend.replaceable() || backend.huge_pages() || (offset + head) % kPageSize != 0 || pages == 0)
    return copy_in(hva, fd, offset, length);

  if (Status copied = copy_in(hva, fd, offset, head); !copied) return copied;
  // Mapping again after a reset throws the guest's own copies of the pages away: the file's bytes are back.
  void* mapped = ::mmap(hva + head, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
                        static_cast<off_t>(offset + head));
  if (mapped == MAP_FAILED) {
    // A file system that cannot map; MAP_FIXED has left the old memory there, so copying does.
    if (errno != ENODEV && errno != EACCES && errno != EPERM)
      return fail("mapping a file into guest memory failed: {}.", strerror(errno));
    if (Status copied = copy_in(hva + head, fd, offset + head, pages); !copied) return copied;
  } else {
    if (!backend.dumped()) ::madvise(mapped, pages, MADV_DONTDUMP);
    ::madvise(mapped, pages, MADV_DONTFORK);
    note_file(hva + head, pages);
  }
  return copy_in(hva + head + pages, fd, offset + head + pages, length - head - pages);
}

}  // namespace nacre
