// Output on its way from any thread to the loop.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "core/base/mutex.hpp"

namespace nacre {

// A ring of bytes: any thread adds, one thread takes. The taker reads outside the lock, so that adding never waits for
// what the taker does with the bytes.
class CharBuffer {
 public:
  static constexpr size_t kBytes = 64u << 10;

  // [any] Adds as much as there is room for and returns how much that was. `was_empty` says whether the taker has to
  // be told; `full` is remembered for take().
  size_t add(const char* data, size_t length, bool& was_empty) {
    MutexLock lock(mutex_);
    was_empty = used_ == 0;
    size_t taken = std::min(length, kBytes - used_);
    if (!bytes_ && taken) bytes_ = std::make_unique<std::array<char, kBytes>>();
    size_t tail = (head_ + used_) % kBytes;
    size_t first = std::min(taken, kBytes - tail);
    if (first) std::memcpy(bytes_->data() + tail, data, first);
    if (taken > first) std::memcpy(bytes_->data(), data + first, taken - first);
    used_ += taken;
    refused_ = refused_ || taken < length;
    return taken;
  }
  // [taker] The oldest bytes that lie together; valid until take().
  std::pair<const char*, size_t> front() {
    MutexLock lock(mutex_);
    return {bytes_ ? bytes_->data() + head_ : nullptr, std::min(used_, kBytes - head_)};
  }
  // [taker] Removes them; true when an add() was refused before for lack of room.
  bool take(size_t length) {
    MutexLock lock(mutex_);
    head_ = (head_ + length) % kBytes;
    used_ -= length;
    return length > 0 && std::exchange(refused_, false);
  }
  // [taker]
  bool drop() {
    MutexLock lock(mutex_);
    head_ = used_ = 0;
    return std::exchange(refused_, false);
  }

 private:
  Mutex mutex_;
  std::unique_ptr<std::array<char, kBytes>> bytes_
      NACRE_GUARDED_BY(mutex_);  // made on first use: most consoles of a machine say nothing
  size_t head_ NACRE_GUARDED_BY(mutex_) = 0;
  size_t used_ NACRE_GUARDED_BY(mutex_) = 0;
  bool refused_ NACRE_GUARDED_BY(mutex_) = false;
};

}  // namespace nacre
