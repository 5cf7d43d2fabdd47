#include "core/backend/block_transfer.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "core/backend/block_request.hpp"

namespace nacre {

namespace {

constexpr size_t kBounceBytes = 1u << 20;
constexpr size_t kZeroBytes = 64u << 10;
constexpr size_t kWindow = 64;  // buffers per system call

alignas(4096) char g_zeroes[kZeroBytes];  // never written

// A place in a list of buffers.
class Cursor {
 public:
  Cursor(const iovec* iov, uint32_t n) : iov_(iov), end_(iov + n) {}

  // The next buffers from here, at most kWindow of them and `limit` bytes.
  uint32_t window(std::array<iovec, kWindow>& out, size_t limit) const {
    uint32_t n = 0;
    size_t skip = skip_;
    for (const iovec* iov = iov_; iov != end_ && n < kWindow && limit > 0; ++iov, skip = 0) {
      size_t length = std::min(iov->iov_len - skip, limit);
      if (length == 0) continue;
      out[n++] = {static_cast<char*>(iov->iov_base) + skip, length};
      limit -= length;
    }
    return n;
  }
  void advance(size_t bytes) {
    while (iov_ != end_ && bytes >= iov_->iov_len - skip_) {
      bytes -= iov_->iov_len - skip_;
      ++iov_;
      skip_ = 0;
    }
    skip_ += bytes;
  }
  // Copies between the buffers, from here on, and `data`, and advances.
  void copy(char* data, size_t bytes, bool into_buffers) {
    while (bytes > 0 && iov_ != end_) {
      size_t part = std::min(iov_->iov_len - skip_, bytes);
      char* buffer = static_cast<char*>(iov_->iov_base) + skip_;
      if (part) std::memcpy(into_buffers ? buffer : data, into_buffers ? data : buffer, part);
      data += part;
      bytes -= part;
      advance(part);
    }
  }

 private:
  const iovec* iov_;
  const iovec* end_;
  size_t skip_ = 0;
};

// The following return 0 or an errno.

int transfer_directly(int fd, bool write, uint64_t offset, uint64_t length, Cursor cursor) {
  std::array<iovec, kWindow> window;
  while (length > 0) {
    uint32_t n = cursor.window(window, length);
    ssize_t moved = write ? ::pwritev(fd, window.data(), static_cast<int>(n), static_cast<off_t>(offset))
                          : ::preadv(fd, window.data(), static_cast<int>(n), static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    // The end of a file that has become shorter; a write that moves nothing has no room.
    if (moved == 0) return write ? ENOSPC : ENXIO;
    offset += static_cast<uint64_t>(moved);
    length -= static_cast<uint64_t>(moved);
    cursor.advance(static_cast<size_t>(moved));
  }
  return 0;
}

// Reads aligned blocks; what lies beyond the end of the file is zero.
int read_blocks(int fd, char* data, size_t length, uint64_t offset) {
  while (length > 0) {
    ssize_t moved = ::pread(fd, data, length, static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    if (moved == 0) break;
    data += moved;
    length -= static_cast<size_t>(moved);
    offset += static_cast<uint64_t>(moved);
  }
  std::memset(data, 0, length);
  return 0;
}

int transfer_through_copy(BlockBackend& backend, bool write, uint64_t offset, uint64_t length, Cursor cursor) {
  const uint64_t align = std::max({backend.offset_alignment(), backend.memory_alignment(), 512u});
  const uint64_t end = offset + length;
  const uint64_t last = (end + align - 1) / align * align;
  const size_t size = std::min<uint64_t>(kBounceBytes, last - offset / align * align);
  std::unique_ptr<char, decltype(&::free)> buffer(static_cast<char*>(::aligned_alloc(align, size)), &::free);
  if (!buffer) return ENOMEM;
  char* data = buffer.get();

  // Two writes to parts of one block must not undo each other. (Whole-block writes need no lock: only a guest whose
  // writes overlap in time and place could tell, and that has no order to rely on.)
  std::optional<MutexLock> lock;
  if (write && (offset % align != 0 || end % align != 0)) lock.emplace(backend.read_modify_write());

  for (uint64_t position = offset; position < end;) {
    const uint64_t first = position / align * align;
    const uint64_t stop = std::min<uint64_t>(first + size, last);
    const uint64_t part_end = std::min(stop, end);
    const size_t lead = position - first;
    const size_t part = part_end - position;
    if (!write) {
      if (int error = read_blocks(backend.fd(), data, stop - first, first)) return error;
      cursor.copy(data + lead, part, true);
    } else {
      const uint64_t tail = stop - align;
      if (lead != 0)
        if (int error = read_blocks(backend.fd(), data, align, first)) return error;
      if (part_end != stop && (tail != first || lead == 0))
        if (int error = read_blocks(backend.fd(), data + (tail - first), align, tail)) return error;
      cursor.copy(data + lead, part, false);
      iovec whole{data, stop - first};
      if (int error = transfer_directly(backend.fd(), true, first, stop - first, Cursor(&whole, 1))) return error;
    }
    position = part_end;
  }
  return 0;
}

bool buffers_aligned(const BlockBackend& backend, uint64_t offset, uint64_t length, const iovec* iov, uint32_t n_iov) {
  if ((offset | length) & (backend.offset_alignment() - 1)) return false;
  uintptr_t bits = 0;
  for (uint32_t i = 0; i < n_iov; ++i) bits |= reinterpret_cast<uintptr_t>(iov[i].iov_base) | iov[i].iov_len;
  return !(bits & (backend.memory_alignment() - 1));
}

int transfer(BlockBackend& backend, bool write, uint64_t offset, uint64_t length, const iovec* iov, uint32_t n_iov,
             uint64_t done) {
  Cursor cursor(iov, n_iov);
  cursor.advance(done);
  // What a short transfer left need not be aligned, although the whole was.
  if (buffers_aligned(backend, offset | done, length, iov, n_iov) && !(done & (backend.memory_alignment() - 1)))
    return transfer_directly(backend.fd(), write, offset + done, length - done, cursor);
  return transfer_through_copy(backend, write, offset + done, length - done, cursor);
}

// FUSE and NFS may say EINTR before the data is written; nothing is lost then, and asking again does it.
int flush(BlockBackend& backend) {
  while (::fdatasync(backend.fd()) < 0)
    if (errno != EINTR) return errno;
  return 0;
}

int punch(BlockBackend& backend, int mode, uint64_t offset, uint64_t length) {
  for (;;) {
    if (::fallocate(backend.fd(), mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(length)) ==
        0)
      return 0;
    if (errno != EINTR) return errno;
  }
}

bool unsupported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == ENOTTY || error == ENODEV || error == EINVAL;
}

int zero_in_place(BlockBackend& backend, uint64_t offset, uint64_t length, bool unmap) {
  // A write to another part of a block may be under way, and has read this part.
  std::optional<MutexLock> lock;
  if ((offset | length) & (backend.offset_alignment() - 1)) lock.emplace(backend.read_modify_write());
  int error = EOPNOTSUPP;
  if (unmap && backend.options().discard) error = punch(backend, FALLOC_FL_PUNCH_HOLE, offset, length);
  if (unsupported(error)) error = punch(backend, FALLOC_FL_ZERO_RANGE, offset, length);
  return error;
}

int write_zeroes(BlockBackend& backend, uint64_t offset, uint64_t length, bool unmap) {
  const int error = zero_in_place(backend, offset, length, unmap);
  if (!unsupported(error)) return error;
  std::array<iovec, 16> zeroes;
  while (length > 0) {
    uint32_t n = 0;
    uint64_t part = 0;
    for (; n < zeroes.size() && part < length; ++n) {
      zeroes[n] = {g_zeroes, static_cast<size_t>(std::min<uint64_t>(kZeroBytes, length - part))};
      part += zeroes[n].iov_len;
    }
    if (int failed = transfer(backend, true, offset, part, zeroes.data(), n, 0)) return failed;
    offset += part;
    length -= part;
  }
  return 0;
}

}  // namespace

bool is_aligned(const BlockBackend& backend, const nacre_block_request& request) {
  if (backend.offset_alignment() == 1 && backend.memory_alignment() == 1) return true;
  return buffers_aligned(backend, request.offset, request.length, request.iov, request.n_iov);
}

bool is_zero(const iovec* iov, uint32_t n_iov) {
  for (uint32_t i = 0; i < n_iov; ++i) {
    const char* data = static_cast<const char*>(iov[i].iov_base);
    for (size_t left = iov[i].iov_len; left > 0;) {
      // The first bytes tell most data apart; the C library compares the rest by wide words.
      size_t part = std::min(left, kZeroBytes);
      if (*data != 0 || std::memcmp(data, g_zeroes, part) != 0) return false;
      data += part;
      left -= part;
    }
  }
  return true;
}

nacre_status perform_block_request(BlockBackend& backend, nacre_block_request& request) {
  const BlockScratch& state = scratch(request);
  int error = 0;
  const char* what = "";
  switch (state.op) {
    case NACRE_BLOCK_READ:
    case NACRE_BLOCK_WRITE: {
      bool write = state.op == NACRE_BLOCK_WRITE;
      what = write ? "write" : "read";
      error = transfer(backend, write, request.offset, request.length, request.iov, request.n_iov, state.done);
      break;
    }
    case NACRE_BLOCK_FLUSH:
      what = "flush";
      error = flush(backend);
      break;
    case NACRE_BLOCK_DISCARD:
      what = "discard";
      // Only a hint: where it is not asked for, or not possible, there is nothing to do.
      if (backend.options().discard) {
        error = punch(backend, FALLOC_FL_PUNCH_HOLE, request.offset, request.length);
        if (unsupported(error)) error = 0;
      }
      break;
    case NACRE_BLOCK_WRITE_ZEROES:
      what = "write-zeroes";
      error = write_zeroes(backend, request.offset, request.length, state.flags & NACRE_BLOCK_UNMAP);
      break;
    default:
      return NACRE_UNSUPPORTED;
  }
  if (error == 0) return NACRE_OK;
  backend.report(what, request.offset, request.length, error);
  return NACRE_IO;
}

}  // namespace nacre
