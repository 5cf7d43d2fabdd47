#include "core/backend/block_backend.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "core/backend/block_lock.hpp"
#include "core/base/log.hpp"

namespace nacre {

namespace {

constexpr uint64_t kSector = 512;
constexpr uint32_t kMaxAlignment = 4096;
constexpr int kLockTries = 100;  // with wait_for_lock, half a second
constexpr timespec kLockPause{0, 5'000'000};

// The drives of this process: locks tell one open file from another, not who holds it.
Mutex g_open_mutex;
std::vector<const BlockBackend*> g_open NACRE_GUARDED_BY(g_open_mutex);

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  return "of another kind";
}

Error wrong_kind(const BlockOptions& options, mode_t mode) {
  return fail("drive '{}': '{}' is {}; a disk image is a regular file or a block device.", options.id, options.file,
              kind_of(mode));
}

Error used_twice(const BlockOptions& options, const std::string& by) {
  return fail(
      "drive '{}': failed to get the {} lock on '{}', {} uses it already; an image may be shared only when every user "
      "has it readonly=on.",
      options.id, options.readonly ? "read" : "write", options.file, by);
}

}  // namespace

Result<std::shared_ptr<BlockBackend>> BlockBackend::open(BlockOptions options) {
  if (Status ok = options.check(); !ok) return ok.error();
  std::shared_ptr<BlockBackend> backend(new BlockBackend(std::move(options)));
  if (Status ok = backend->open_file(); !ok) return ok.error();
  if (Status ok = backend->claim(); !ok) return ok.error();
  if (Status ok = backend->find_size(); !ok) return ok.error();
  if (Status ok = backend->find_alignment(); !ok) return ok.error();
  return backend;
}

Result<std::shared_ptr<BlockBackend>> BlockBackend::open(BlockOptions options, std::unique_ptr<BlockDriver> driver) {
  if (Status ok = options.check(); !ok) return ok.error();
  nacre_block_info info{};
  info.size = sizeof info;
  driver->describe(info);
  if (info.capacity % kSector != 0)
    return fail("drive '{}': driver '{}' says that its size is {} bytes, which is not a multiple of 512.", options.id,
                options.driver, info.capacity);
  std::shared_ptr<BlockBackend> backend(new BlockBackend(std::move(options)));
  backend->driver_ = std::move(driver);
  backend->capacity_ = info.capacity;
  backend->options_.readonly |= info.readonly != 0;
  return backend;
}

BlockBackend::~BlockBackend() {
  MutexLock lock(g_open_mutex);
  std::erase(g_open, this);
}

Status BlockBackend::open_file() {
  const std::string& file = options_.file;
  struct stat status {};
  // Looked at first: opening a FIFO or a tape already has effects.
  if (::stat(file.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    return wrong_kind(options_, status.st_mode);
  int flags = (options_.readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int fd = ::open(file.c_str(), flags | (options_.direct ? O_DIRECT : 0));
  if (fd < 0 && errno == EINVAL && options_.direct)
    return fail("drive '{}': the file system of '{}' cannot do direct I/O (O_DIRECT); use direct=off.", options_.id,
                file);
  if (fd < 0) {
    switch (errno) {
      case ENOENT:
        return fail("drive '{}': there is no file '{}'; create it (truncate -s 1G '{}') or correct the path.",
                    options_.id, file, file);
      case EACCES:
      case EPERM:
        return fail(
            "drive '{}': no permission to open '{}' for {}; change its mode or owner, or -landlock where that is "
            "given{}.",
            options_.id, file, options_.readonly ? "reading" : "reading and writing",
            options_.readonly ? "" : ", or use readonly=on");
      case EROFS:
        return fail("drive '{}': '{}' is on a read-only file system; use readonly=on.", options_.id, file);
      default:
        return fail("drive '{}': cannot open '{}': {}.", options_.id, file, strerror(errno));
    }
  }
  fd_ = Fd(fd);
  if (::fstat(fd, &status) < 0) return fail("drive '{}': cannot examine '{}': {}.", options_.id, file, strerror(errno));
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) return wrong_kind(options_, status.st_mode);
  // The flag was for the opening alone. io_uring takes it for a promise that no request blocks, which not every file
  // system keeps, and would wait for a slow disk in the thread that submits.
  if (int set = ::fcntl(fd, F_GETFL); set < 0 || ::fcntl(fd, F_SETFL, set & ~O_NONBLOCK) < 0)
    return fail("drive '{}': cannot examine '{}': {}.", options_.id, options_.file, strerror(errno));
  block_device_ = S_ISBLK(status.st_mode);
  device_ = block_device_ ? status.st_rdev : status.st_dev;
  inode_ = block_device_ ? 0 : status.st_ino;
  return {};
}

Status BlockBackend::claim() {
  MutexLock lock(g_open_mutex);
  for (const BlockBackend* other : g_open) {
    if (other->device_ != device_ || other->inode_ != inode_ || other->block_device_ != block_device_) continue;
    if (!other->options_.readonly || !options_.readonly)
      return used_twice(options_, fmt::format("drive '{}' of this machine", other->options_.id));
  }
  ImageLock taken = lock_image(fd_.get(), options_.readonly);
  for (int tries = 1; taken == ImageLock::Busy && options_.wait_for_lock && tries < kLockTries; ++tries) {
    ::nanosleep(&kLockPause, nullptr);
    taken = lock_image(fd_.get(), options_.readonly);
  }
  switch (taken) {
    case ImageLock::Taken:
      break;
    case ImageLock::Busy:
      return used_twice(options_, "another process");
    case ImageLock::Unsupported:
      log::warn("block", "drive '{}': '{}' cannot be locked here; nothing keeps another process from writing to it.",
                options_.id, options_.file);
  }
  g_open.push_back(this);
  return {};
}

Status BlockBackend::find_size() {
  if (block_device_) {
    uint64_t bytes = 0;
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) < 0)
      return fail("drive '{}': cannot learn the size of '{}': {}.", options_.id, options_.file, strerror(errno));
    capacity_ = bytes;
  } else {
    struct stat status {};
    if (::fstat(fd_.get(), &status) < 0)
      return fail("drive '{}': cannot learn the size of '{}': {}.", options_.id, options_.file, strerror(errno));
    capacity_ = static_cast<uint64_t>(status.st_size);
  }
  // As with StratoVirt the guest sees whole sectors.
  if (const uint64_t rest = capacity_ % kSector; rest != 0) {
    log::warn("block",
              "drive '{}': the size of '{}', {} bytes, is not a multiple of 512, and the guest does not see the last "
              "{}; it would after: truncate -s {} '{}'",
              options_.id, options_.file, capacity_, rest, capacity_ - rest + kSector, options_.file);
    capacity_ -= rest;
  }
  return {};
}

Status BlockBackend::find_alignment() {
  if (!options_.direct) return {};
  uint32_t offset = 0;
  uint32_t memory = 0;
#ifdef STATX_DIOALIGN
  struct statx extended {};
  if (::statx(fd_.get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &extended) == 0 && (extended.stx_mask & STATX_DIOALIGN)) {
    offset = extended.stx_dio_offset_align;
    memory = extended.stx_dio_mem_align;
  }
#endif
  int logical = 0;
  if (offset == 0 && block_device_ && ::ioctl(fd_.get(), BLKSSZGET, &logical) == 0 && logical > 0)
    offset = memory = static_cast<uint32_t>(logical);
  if (offset == 0) {
    // No word from the kernel: the smallest read that it does not refuse.
    std::unique_ptr<void, decltype(&::free)> buffer(::aligned_alloc(kMaxAlignment, 2 * kMaxAlignment), &::free);
    if (!buffer) return fail("drive '{}': out of memory.", options_.id);
    for (offset = static_cast<uint32_t>(kSector); offset < kMaxAlignment; offset *= 2)
      if (::pread(fd_.get(), static_cast<char*>(buffer.get()) + offset, offset, 0) >= 0 || errno != EINVAL) break;
    memory = offset;
  }
  offset_align_ = std::clamp<uint32_t>(offset, 1, 1u << 20);
  memory_align_ = std::clamp<uint32_t>(memory, 1, 1u << 20);
  if (offset_align_ > kMaxAlignment || memory_align_ > kMaxAlignment)
    return fail(
        "drive '{}': direct I/O on '{}' needs an alignment of {} bytes, more than can be given; use direct=off.",
        options_.id, options_.file, std::max(offset_align_, memory_align_));
  // A write to the last, incomplete block would make the file longer.
  if (!options_.readonly && capacity_ % offset_align_ != 0)
    return fail(
        "drive '{}': the size of '{}', {} bytes, is not a multiple of {}, which direct I/O needs there; use direct=off "
        "or extend it with: truncate -s {} '{}'",
        options_.id, options_.file, capacity_, offset_align_,
        (capacity_ + offset_align_ - 1) / offset_align_ * offset_align_, options_.file);
  return {};
}

void BlockBackend::describe(nacre_block_info& info) const {
  nacre_block_info known{};
  known.size = std::min<uint32_t>(info.size, sizeof known);
  known.request_size = sizeof(nacre_block_request);
  known.capacity = capacity_;
  known.alignment = std::max(offset_align_, memory_align_);
  known.readonly = options_.readonly;
  known.discard = options_.discard && !options_.readonly;
  known.write_zeroes = options_.detect_zeroes != DetectZeroes::Off && !options_.readonly;
  if (driver_) {
    nacre_block_info own{};
    own.size = sizeof own;
    driver_->describe(own);
    known.alignment = own.alignment >= 1 && own.alignment <= kMaxAlignment ? own.alignment : 1;
    known.discard = own.discard && !options_.readonly;
    known.write_zeroes = own.write_zeroes && !options_.readonly;
  }
  std::memcpy(&info, &known, known.size);
}

// A read past the end moves nothing, which block_transfer.cpp calls ENXIO; its text would speak of devices.
std::string BlockBackend::Failure::reason() const {
  return error == ENXIO ? "the file is shorter than when it was opened" : strerror(error);
}

void BlockBackend::report(const char* what, uint64_t offset, uint64_t length, int error) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  // Reads that fail do not hide that data was not written.
  Reports& reports = reports_[std::string_view(what) != "read"];
  uint64_t last = reports.last.load(std::memory_order_relaxed);
  if ((last != 0 && ns - last < 1'000'000'000) || !reports.last.compare_exchange_strong(last, ns)) {
    reports.withheld.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const Failure failure{what, error};
  uint32_t more = reports.withheld.exchange(0, std::memory_order_relaxed);
  log::error("block", "drive '{}': {} of {} bytes at {} in '{}' failed: {} (errno {}).{}", options_.id, what, length,
             offset, driver_ ? options_.driver : options_.file, failure.reason(), error,
             more ? fmt::format(" {} failures before it were not logged.", more) : "");
  if (failed_) failed_(failure);
}

}  // namespace nacre
