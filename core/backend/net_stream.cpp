#include "core/backend/net_stream.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/backend/net_backend.hpp"

namespace nacre {
namespace {

constexpr size_t kLengthBytes = 4;
constexpr size_t kInput = 4 * (kMaxFrame + kLengthBytes);
constexpr size_t kOutput = kMaxFrame + kLengthBytes;
constexpr size_t kSmallestFrame = 14;

}  // namespace

NetStream::NetStream(Fd socket)
    : socket_(std::move(socket)), input_(new uint8_t[kInput]), output_(new uint8_t[kOutput]) {}

// Takes more from the socket; false when there is nothing now or ever.
bool NetStream::fill() {
  if (input_begin_ == input_end_) {
    input_begin_ = input_end_ = 0;
  } else if (kInput - input_begin_ < kMaxFrame + kLengthBytes) {
    std::memmove(input_.get(), input_.get() + input_begin_, input_end_ - input_begin_);
    input_end_ -= input_begin_;
    input_begin_ = 0;
  }
  for (;;) {
    ssize_t n = ::recv(socket_.get(), input_.get() + input_end_, kInput - input_end_, MSG_DONTWAIT);
    if (n > 0) {
      input_end_ += static_cast<size_t>(n);
      return true;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n == 0 || errno != EAGAIN) ended_ = true;
    return false;
  }
}

int64_t NetStream::receive(const iovec* iov, uint32_t n_iov) {
  // Called for room to write as well: the rest of the last frame must not wait for the next one.
  flush();
  for (;;) {
    const size_t there = input_end_ - input_begin_;
    uint32_t length = 0;
    if (there >= kLengthBytes) {
      std::memcpy(&length, input_.get() + input_begin_, kLengthBytes);
      length = ntohl(length);
      // A peer that loses count cannot be understood any more.
      if (length > kMaxFrame) ended_ = true, input_begin_ = input_end_ = 0;
    }
    if (ended_ && there < kLengthBytes + length) return NACRE_IO;
    if (ended_ && input_begin_ == input_end_) return NACRE_IO;
    if (there < kLengthBytes || there < kLengthBytes + length) {
      if (!fill()) return ended_ ? NACRE_IO : 0;
      continue;
    }
    const uint8_t* from = input_.get() + input_begin_ + kLengthBytes;
    input_begin_ += kLengthBytes + length;
    if (length < kSmallestFrame) continue;
    size_t header = NACRE_NET_HEADER, left = length;
    for (uint32_t i = 0; i < n_iov && header + left > 0; ++i) {
      auto* to = static_cast<uint8_t*>(iov[i].iov_base);
      const size_t zeroes = std::min(header, iov[i].iov_len);
      const size_t bytes = std::min(left, iov[i].iov_len - zeroes);
      std::memset(to, 0, zeroes);
      std::memcpy(to + zeroes, from, bytes);
      header -= zeroes, left -= bytes, from += bytes;
    }
    return static_cast<int64_t>(NACRE_NET_HEADER - header + length - left);
  }
}

// Sends the rest of the last frame; false when some of it is left.
bool NetStream::flush() {
  while (output_begin_ < output_end_) {
    ssize_t n =
        ::send(socket_.get(), output_.get() + output_begin_, output_end_ - output_begin_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) break;  // nobody is there: it is lost as the others will be
    output_begin_ += static_cast<size_t>(n);
  }
  output_begin_ = output_end_ = 0;
  return true;
}

int32_t NetStream::send(const iovec* iov, uint32_t n_iov) {
  if (!flush()) return 0;
  size_t total = 0;
  for (uint32_t i = 0; i < n_iov; ++i) total += iov[i].iov_len;
  if (total < NACRE_NET_HEADER + kSmallestFrame || total > NACRE_NET_HEADER + kMaxFrame) return NACRE_INVALID;
  const uint32_t length = htonl(static_cast<uint32_t>(total - NACRE_NET_HEADER));

  // The length stands in for the virtio header, which may end anywhere.
  iovec parts[1 + NACRE_NET_IOV_MAX];
  parts[0] = {const_cast<uint32_t*>(&length), kLengthBytes};
  uint32_t n_parts = 1;
  size_t header = NACRE_NET_HEADER;
  for (uint32_t i = 0; i < n_iov && n_parts <= NACRE_NET_IOV_MAX; ++i) {
    const size_t skipped = std::min(header, iov[i].iov_len);
    header -= skipped;
    if (skipped == iov[i].iov_len) continue;
    parts[n_parts++] = {static_cast<uint8_t*>(iov[i].iov_base) + skipped, iov[i].iov_len - skipped};
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = std::min<size_t>(n_parts, NACRE_NET_IOV_MAX);
  const size_t wanted = total - NACRE_NET_HEADER + kLengthBytes;
  ssize_t sent;
  do {
    sent = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EAGAIN ? 0 : NACRE_IO;
  // What the socket has no room for waits here, so that frames never mix.
  size_t skip = static_cast<size_t>(sent);
  for (uint32_t i = 0; i < n_parts && static_cast<size_t>(sent) < wanted; ++i) {
    const size_t gone = std::min(skip, parts[i].iov_len);
    skip -= gone;
    std::memcpy(output_.get() + output_end_, static_cast<uint8_t*>(parts[i].iov_base) + gone, parts[i].iov_len - gone);
    output_end_ += parts[i].iov_len - gone;
  }
  return 1;
}

}  // namespace nacre
