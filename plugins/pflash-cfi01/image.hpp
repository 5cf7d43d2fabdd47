// What a flash chip holds, in memory, and the way of its changes to the disk behind it.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <nacre/block.hpp>
#include <nacre/mutex.hpp>
#include <string>
#include <vector>

namespace nacre::flash {

// Changes come from vCPUs and go to the disk on the loop, one request at a time, and to stable storage once none is
// left. What is written is a copy, of one moment; a part that changes meanwhile is written again.
class Image {
 public:
  explicit Image(nacre_instance* instance) : instance_(instance) {}
  ~Image() {
    close();
    if (bytes_) ::munmap(bytes_, size_);
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // [main] Opens the disk and reads all of it. Fails when its size is no multiple of `sector`, is above `most`, or it
  // cannot be read.
  sdk::Status load(const char* drive, uint64_t sector, uint64_t most, nacre_error* slot) {
    if (sdk::Status opened = disk_.open(instance_, drive, on_completed, this, slot); !opened) return opened;
    const nacre_block_info info = disk_.info();
    if (info.capacity == 0 || info.capacity % sector || info.capacity > most)
      return sdk::fail("drive '", drive, "' has ", std::to_string(info.capacity), " bytes; flash is a multiple of ",
                       std::to_string(sector), " bytes, and ", std::to_string(most), " at most.");
    size_ = info.capacity;
    readonly_ = info.readonly;
    void* memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return sdk::fail("there is no memory for the ", std::to_string(size_), " bytes of drive '", drive, "'.");
    bytes_ = static_cast<uint8_t*>(memory);
    {
      sdk::MutexLock lock(mutex_);
      changed_.assign((size_ + kPart - 1) / kPart, false);
    }
    copy_.resize(std::min(size_, kMostParts * kPart));
    start(NACRE_BLOCK_READ, bytes_, 0, size_);
    disk_.drain();
    if (request_.status != NACRE_OK) return sdk::fail("drive '", drive, "' cannot be read; the log says why.");
    return {};
  }

  std::span<uint8_t> bytes() const { return {bytes_, size_}; }
  bool readonly() const { return readonly_; }

  // [any] Has `edit` change the bytes: it returns what it has changed, inside them, by offset and length.
  template <typename Edit>
  void change(Edit edit) NACRE_EXCLUDES(mutex_) {
    sdk::MutexLock lock(mutex_);
    const auto [offset, length] = edit();
    if (length == 0) return;
    mark(offset, length);
    go_on();
  }

  // [loop] Calls done(opaque), now or later, when the disk has everything.
  void settle(nacre_callback done, void* opaque) {
    settled_ = done;
    settled_opaque_ = opaque;
    pump();
  }
  // [main] Waits until it has, and gives it back; a disk that goes on failing is given up. What changes from now on is
  // lost.
  void close() {
    if (!disk_.is_open()) return;
    closing_ = true;
    while (bytes_ && failures_ < kTries) {
      pump();
      if (!busy_) break;
      disk_.drain();
    }
    disk_.close();
  }

 private:
  static constexpr uint64_t kPart = 4096;
  static constexpr uint64_t kMostParts = 64;  // in one request
  static constexpr int kTries = 3;            // of writes that fail, at the end

  static void on_posted(void* self) noexcept {
    static_cast<Image*>(self)->posted_ = false;
    static_cast<Image*>(self)->pump();
  }
  static void on_completed(void* self, nacre_block_request* const*, uint32_t) noexcept {
    static_cast<Image*>(self)->completed();
  }
  // What has failed, which the host tells of, is tried again with the next change, and at the end.
  void completed() {
    busy_ = false;
    if (request_.op == NACRE_BLOCK_READ) return;
    if (request_.status != NACRE_OK) {
      if (request_.op == NACRE_BLOCK_WRITE) {
        sdk::MutexLock lock(mutex_);
        mark(request_.offset, request_.length);
      }
      unflushed_ = true;
      if (!closing_ || ++failures_ == kTries) {
        if (settled_) std::exchange(settled_, nullptr)(settled_opaque_);
        return;
      }
    }
    if (closing_)
      pump();
    else
      go_on();  // others on the loop have their turn first: a guest may change it for ever
  }

  void mark(uint64_t offset, uint64_t length) NACRE_REQUIRES(mutex_) {
    for (uint64_t part = offset / kPart; part <= (offset + length - 1) / kPart; ++part) changed_[part] = true;
  }
  void go_on() {
    if (!posted_.exchange(true)) sdk::host.loop->post(sdk::host.loop->of(instance_), on_posted, this);
  }

  void pump() {
    if (busy_ || !disk_.is_open()) return;
    if (const auto [offset, length] = take(); length) {
      unflushed_ = true;
      return start(NACRE_BLOCK_WRITE, copy_.data(), offset, length);
    }
    if (std::exchange(unflushed_, false)) return start(NACRE_BLOCK_FLUSH, nullptr, 0, 0);
    if (settled_) std::exchange(settled_, nullptr)(settled_opaque_);
  }

  // Copies the first run of changed parts, which are none any more: where it lies, by offset and length; 0 long: none.
  std::pair<uint64_t, uint64_t> take() NACRE_EXCLUDES(mutex_) {
    sdk::MutexLock lock(mutex_);
    const auto first = std::find(changed_.begin(), changed_.end(), true);
    auto end = first;
    while (end != changed_.end() && *end && end - first < static_cast<ptrdiff_t>(kMostParts)) *end++ = false;
    const uint64_t offset = static_cast<uint64_t>(first - changed_.begin()) * kPart;
    if (end == first) return {offset, 0};
    const uint64_t length = std::min(static_cast<uint64_t>(end - first) * kPart, size_ - offset);
    std::memcpy(copy_.data(), bytes_ + offset, length);
    return {offset, length};
  }

  void start(uint32_t op, uint8_t* data, uint64_t offset, uint64_t length) {
    vector_ = {data, length};
    request_ = {};
    request_.op = op;
    request_.offset = offset;
    request_.length = length;
    request_.iov = &vector_;
    request_.n_iov = length ? 1 : 0;
    busy_ = true;
    nacre_block_request* one = &request_;
    disk_.submit({&one, 1});
  }

  nacre_instance* instance_;
  sdk::Block disk_;
  uint8_t* bytes_ = nullptr;
  uint64_t size_ = 0;
  bool readonly_ = false;
  sdk::Mutex mutex_;                                    // of what vCPUs write in bytes_, too
  std::vector<bool> changed_ NACRE_GUARDED_BY(mutex_);  // for each part
  std::atomic<bool> posted_{false};
  // The loop's.
  std::vector<uint8_t> copy_;  // what is being written
  bool closing_ = false;
  int failures_ = 0;
  bool busy_ = false;
  bool unflushed_ = false;
  iovec vector_{};
  nacre_block_request request_{};
  nacre_callback settled_ = nullptr;
  void* settled_opaque_ = nullptr;
};

}  // namespace nacre::flash
