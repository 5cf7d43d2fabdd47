#include "core/memory/backend.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/memory/prealloc.hpp"

namespace nacre {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

// Linux Documentation/admin-guide/mm/transhuge.rst: "never" is chosen, or there is no such file, where there are none.
bool host_has_huge_pages() {
  Fd fd(::open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC));
  char text[64];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof text) : 0;
  return length > 0 && std::string_view(text, static_cast<size_t>(length)).find("[never]") == std::string_view::npos;
}

// A file without a name in a directory.
Fd make_unnamed(const std::string& directory) {
  std::string path = directory + "/nacre_backmem_XXXXXX";
  Fd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (fd) ::unlink(path.c_str());
  return fd;
}

std::string pool(uint64_t page_size) {
  return fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB/", page_size >> 10);
}

std::string number_in(const std::string& path) {
  std::string text = read_small_file(path);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "?" : text;
}

}  // namespace

Result<std::unique_ptr<MemoryBackend>> MemoryBackend::open(uint64_t size, MemoryOptions options) {
  std::unique_ptr<MemoryBackend> backend(new MemoryBackend(size, std::move(options)));
  MemoryOptions& wanted = backend->options_;
  if (!wanted.path.empty()) {
    if (Status opened = backend->open_file(); !opened) return opened.error();
  } else if (wanted.shared || wanted.hugetlb) {
    if (Status opened = backend->open_memfd(); !opened) return opened.error();
  }
  wanted.huge_pages = wanted.huge_pages && !backend->fd_ && host_has_huge_pages();
  // What the pool has is reserved for a mapping wherever it lies, so on some nodes it may be short all the same: the
  // guest shall not find out.
  if (backend->page_size_ > kPageSize && !wanted.host_nodes.empty()) wanted.prealloc = true;
  if (Status room = backend->check_room(); !room) return room.error();
  return backend;
}

MemoryBackend::~MemoryBackend() {
  if (base_) ::munmap(base_, size_);
}

std::string MemoryBackend::name() const {
  return options_.id.empty() ? "guest memory" : fmt::format("the memory back end '{}'", options_.id);
}

uint64_t MemoryBackend::alignment() const {
  return std::max(page_size_, kHugePage);
}

Status MemoryBackend::open_memfd() {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (options_.hugetlb) {
    flags |= MFD_HUGETLB;
    if (options_.huge_page_size != 0)
      flags |= static_cast<unsigned>(std::countr_zero(options_.huge_page_size)) << MFD_HUGE_SHIFT;
  }
  fd_ = Fd(::memfd_create("guest-ram", flags));
  if (!fd_ && options_.hugetlb && options_.huge_page_size != 0)
    return fail("{} cannot have huge pages of {} KiB: {}; the host's sizes are in /sys/kernel/mm/hugepages.", name(),
                options_.huge_page_size >> 10, strerror(errno));
  if (!fd_) return fail("cannot make {} shareable: {}.", name(), strerror(errno));
  if (Status fits = check_file(); !fits) return fits;
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) < 0)
    return fail("cannot make {} MiB of {}: {}.", size_ >> 20, name(), strerror(errno));
  // Whoever it is shared with cannot take the memory from under the guest by making it shorter.
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return fail("cannot seal the size of {}: {}.", name(), strerror(errno));
  return {};
}

Status MemoryBackend::open_file() {
  const std::string& path = options_.path;
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    fd_ = make_unnamed(path);
    if (!fd_) return fail("{}: cannot make a file in '{}': {}.", name(), path, strerror(errno));
  } else {
    fd_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (fd_) ::unlink(path.c_str());
    if (!fd_ && errno == EEXIST) {
      fd_ = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
      // A private copy needs no right to write.
      if (!fd_ && (errno == EACCES || errno == EROFS) && !options_.shared)
        fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    }
    if (!fd_) return fail("{}: cannot open '{}': {}.", name(), path, strerror(errno));
  }
  if (::fstat(fd_.get(), &info) < 0 || !S_ISREG(info.st_mode))
    return fail("{}: '{}' is neither a regular file nor a directory.", name(), path);
  if (Status fits = check_file(); !fits) return fits;
  const auto there = static_cast<uint64_t>(info.st_size);
  has_content_ = there != 0;
  if (there == 0 && ::ftruncate(fd_.get(), static_cast<off_t>(size_)) < 0)
    return fail("{}: cannot make '{}' {} MiB long: {}.", name(), path, size_ >> 20, strerror(errno));
  if (there != 0 && there < size_)
    return fail(
        "{}: Backing file {} does not has sufficient resource for allocating RAM: it has {} bytes and {} are needed; "
        "make it longer, or remove it.",
        name(), path, there, size_);
  return {};
}

// Takes note of the file's pages, and refuses a size that is not made of whole ones.
Status MemoryBackend::check_file() {
  struct statfs info {};
  if (::fstatfs(fd_.get(), &info) < 0) return {};
  const auto type = static_cast<unsigned long>(info.f_type);
  on_disk_ = type != HUGETLBFS_MAGIC && type != TMPFS_MAGIC;
  if (type == HUGETLBFS_MAGIC) page_size_ = static_cast<uint64_t>(info.f_bsize);
  if (size_ % page_size_ != 0)
    return fail("{} of {} KiB is not possible on huge pages of {} KiB: give it a multiple of that.", name(),
                size_ >> 10, page_size_ >> 10);
  return {};
}

// Where the file system is full, the guest's first store would end the program (SIGBUS).
Status MemoryBackend::check_room() const {
  struct statfs disk {};
  struct stat file {};
  const bool own_pages = fd_ && options_.shared && page_size_ == kPageSize && !options_.path.empty();
  if (!own_pages || ::fstatfs(fd_.get(), &disk) < 0 || ::fstat(fd_.get(), &file) < 0 || disk.f_blocks == 0) return {};
  const uint64_t left = static_cast<uint64_t>(disk.f_bavail) * static_cast<uint64_t>(disk.f_bsize);
  const uint64_t held = static_cast<uint64_t>(file.st_blocks) * 512;
  if (held >= size_ || size_ - held <= left) return {};
  return fail("{} needs {} MiB more of the file system of '{}', which has {} MiB left: free some, or use another.",
              name(), (size_ - held) >> 20, options_.path, left >> 20);
}

Status MemoryBackend::map(uint8_t* at) {
  int flags = MAP_FIXED | (options_.shared ? MAP_SHARED : MAP_PRIVATE);
  if (!fd_) flags |= MAP_ANONYMOUS;
  // Huge pages of the pool are reserved now: the guest shall not run out of them.
  const bool pooled = page_size_ > kPageSize;
  if (!pooled) flags |= MAP_NORESERVE;
  if (::mmap(at, size_, PROT_READ | PROT_WRITE, flags, fd_.get(), 0) == MAP_FAILED) {
    if (pooled && errno == ENOMEM)
      return fail(
          "{} needs {} huge pages of {} KiB, and the host has {} free: write a greater number to {}nr_hugepages, or "
          "give the guest less.",
          name(), size_ / page_size_, page_size_ >> 10, number_in(pool(page_size_) + "free_hugepages"),
          pool(page_size_));
    return fail("cannot map {} MiB of {}: {}.", size_ >> 20, name(), strerror(errno));
  }
  if (options_.huge_pages) ::madvise(at, size_, MADV_HUGEPAGE);
  if (!options_.dump_guest_core && ::madvise(at, size_, MADV_DONTDUMP) < 0)
    return fail("cannot keep {} out of core dumps: {}.", name(), strerror(errno));
  // A child that somebody forks shall not drag the guest's memory along.
  ::madvise(at, size_, MADV_DONTFORK);
  if (Status set = set_host_policy(at, size_, options_.policy, options_.host_nodes, name()); !set) return set;
  if (options_.prealloc)
    if (Status there = preallocate(at); !there) return there;
  base_ = at;
  return {};
}

Status MemoryBackend::preallocate(uint8_t* at) {
  const bool pooled = page_size_ > kPageSize;
  // Asking first: where memory is short, the kernel does not refuse a page but ends a process.
  const bool strict = options_.policy == HostPolicy::Bind || options_.policy == HostPolicy::Interleave;
  const uint64_t available = host_available(strict ? options_.host_nodes : std::vector<uint32_t>());
  if (!pooled && !(on_disk_ && options_.shared) && size_ > available)
    return fail("{} of {} MiB cannot be preallocated: the host has {} MiB left{}; give the guest less.", name(),
                size_ >> 20, available >> 20, strict ? " on these nodes" : "");
  if (int error = populate(at, size_, page_size_))
    return fail(
        "{} of {} MiB cannot be preallocated: the host has not enough {}pages for it ({}); give the guest less.",
        name(), size_ >> 20, pooled ? "huge " : "", strerror(error));
  return {};
}

bool MemoryBackend::discard(uint8_t* hva, uint64_t length) {
  const uint64_t begin = (static_cast<uint64_t>(hva - base_) + page_size_ - 1) & ~(page_size_ - 1);
  const uint64_t end = static_cast<uint64_t>(hva - base_ + static_cast<int64_t>(length)) & ~(page_size_ - 1);
  // Only zeroes will do where the file would shine through, and for parts of a huge page.
  if (begin >= end || (has_content_ && !options_.shared)) {
    std::memset(hva, 0, length);
    return true;
  }
  std::memset(hva, 0, begin - static_cast<uint64_t>(hva - base_));
  std::memset(base_ + end, 0, static_cast<uint64_t>(hva - base_) + length - end);
  // Linux Documentation: madvise(2). DONTNEED only unmaps shared pages; a hole in the file frees them for everybody.
  if (options_.shared)
    return ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                       static_cast<off_t>(end - begin)) == 0;
  return ::madvise(base_ + begin, end - begin, MADV_DONTNEED) == 0;
}

}  // namespace nacre
