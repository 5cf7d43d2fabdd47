// Bytes at a distance from the beginning of a list of buffers.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace nacre::virtio_net {

// Calls `move(address in the buffers, bytes done so far, bytes)` for each piece of [offset, offset + length) that the
// buffers hold; returns how many bytes those were.
template <typename Move>
size_t each_piece(std::span<const iovec> buffers, size_t offset, size_t length, Move move) {
  size_t done = 0;
  for (const iovec& buffer : buffers) {
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const size_t piece = std::min(buffer.iov_len - offset, length - done);
    if (piece == 0) break;
    move(static_cast<uint8_t*>(buffer.iov_base) + offset, done, piece);
    done += piece;
    offset = 0;
  }
  return done;
}

inline size_t copy_out(std::span<const iovec> buffers, size_t offset, void* to, size_t length) {
  return each_piece(buffers, offset, length, [to](const uint8_t* from, size_t done, size_t piece) {
    std::memcpy(static_cast<uint8_t*>(to) + done, from, piece);
  });
}

inline size_t copy_in(std::span<const iovec> buffers, size_t offset, const void* from, size_t length) {
  return each_piece(buffers, offset, length, [from](uint8_t* to, size_t done, size_t piece) {
    std::memcpy(to, static_cast<const uint8_t*>(from) + done, piece);
  });
}

}  // namespace nacre::virtio_net
