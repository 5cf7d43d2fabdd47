// The buffers of one request: host addresses of a descriptor chain, and how to take bytes off its ends.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace nacre::sdk {

// Some iovecs in caller's storage, shortened from either end as they are consumed.
class IoVector {
 public:
  IoVector() = default;
  IoVector(iovec* first, uint32_t count, uint64_t length) : first_(first), count_(count), length_(length) {}

  iovec* data() const { return first_; }
  uint32_t count() const { return count_; }
  uint64_t length() const { return length_; }  // bytes

  // Moves the first `n` bytes out; false, with nothing changed, when there are fewer.
  bool take_front(void* to, uint64_t n) {
    if (n > length_) return false;
    auto* out = static_cast<uint8_t*>(to);
    length_ -= n;
    while (n > 0) {
      size_t piece = std::min<uint64_t>(n, first_->iov_len);
      std::memcpy(out, first_->iov_base, piece);
      out += piece;
      n -= piece;
      first_->iov_base = static_cast<uint8_t*>(first_->iov_base) + piece;
      first_->iov_len -= piece;
      if (first_->iov_len == 0) ++first_, --count_;
    }
    return true;
  }

  // Forgets the first `n` bytes, at most length().
  void drop_front(uint64_t n) {
    length_ -= n;
    while (n > 0) {
      size_t piece = std::min<uint64_t>(n, first_->iov_len);
      n -= piece;
      first_->iov_base = static_cast<uint8_t*>(first_->iov_base) + piece;
      first_->iov_len -= piece;
      if (first_->iov_len == 0) ++first_, --count_;
    }
  }

  // Gives the last byte away and returns its address, or NULL when there is none.
  uint8_t* take_last_byte() {
    if (length_ == 0) return nullptr;
    iovec& last = first_[count_ - 1];
    --length_;
    --last.iov_len;
    auto* byte = static_cast<uint8_t*>(last.iov_base) + last.iov_len;
    if (last.iov_len == 0) --count_;
    return byte;
  }

  // Copies `n` bytes to the front, as far as they fit; returns how many did.
  uint64_t put_front(const void* from, uint64_t n) {
    auto* in = static_cast<const uint8_t*>(from);
    uint64_t done = 0;
    for (uint32_t i = 0; i < count_ && done < n; ++i) {
      size_t piece = std::min<uint64_t>(n - done, first_[i].iov_len);
      std::memcpy(first_[i].iov_base, in + done, piece);
      done += piece;
    }
    return done;
  }

 private:
  iovec* first_ = nullptr;
  uint32_t count_ = 0;
  uint64_t length_ = 0;
};

// One chain: what the device reads, then what it writes (virtio 1.2 §2.7.4.2).
struct DescriptorChain {
  uint16_t head = 0;
  IoVector readable;
  IoVector writable;
};

}  // namespace nacre::sdk
