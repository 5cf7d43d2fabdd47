// A disk that the host has opened: the file, its locks and the facts about it. A plugin's disk has a driver instead.
#pragma once

#include <nacre/abi/block.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "core/backend/block_driver.hpp"
#include "core/backend/block_options.hpp"
#include "core/backend/block_statistics.hpp"
#include "core/backend/block_throttle.hpp"
#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Opened and closed on the main thread; what is const may be called on every thread.
class BlockBackend {
 public:
  // Opens and locks the image: a regular file or a block device, raw, never guessed from its content. Fails with one
  // sentence when it is missing, of another kind, not permitted, in use by another process or by another drive of this
  // one (unless all of them only read), cannot do O_DIRECT, or its size is no multiple of 512.
  static Result<std::shared_ptr<BlockBackend>> open(BlockOptions options);
  // A disk whose requests `driver` carries out. Fails when its size is no multiple of 512.
  static Result<std::shared_ptr<BlockBackend>> open(BlockOptions options, std::unique_ptr<BlockDriver> driver);
  ~BlockBackend();
  BlockBackend(const BlockBackend&) = delete;
  BlockBackend& operator=(const BlockBackend&) = delete;

  const BlockOptions& options() const { return options_; }
  BlockDriver* driver() const { return driver_.get(); }  // NULL: it is a file
  int fd() const { return fd_.get(); }
  uint64_t capacity() const { return capacity_; }              // bytes, when it was opened
  uint32_t offset_alignment() const { return offset_align_; }  // of offset and length; 1 without O_DIRECT
  uint32_t memory_alignment() const { return memory_align_; }  // of buffers
  bool block_device() const { return block_device_; }
  // For the contract's info(): `size` is the caller's.
  void describe(nacre_block_info& info) const;

  BlockThrottle& throttle() { return throttle_; }
  // [any] Requests that the host has been asked for and has not answered. The channel of the disk sets it.
  uint32_t under_way() const { return under_way_.load(std::memory_order_relaxed); }
  void set_under_way(uint32_t n) { under_way_.store(n, std::memory_order_relaxed); }
  // Held while a block that a write covers in part is read, changed and written.
  Mutex& read_modify_write() { return read_modify_write_; }
  BlockStatistics& statistics() { return statistics_; }

  // A request that the host could not carry out: "read", "write", "flush", ..., and an errno.
  struct Failure {
    const char* what;
    int error;
    // In words, for people.
    std::string reason() const;
  };
  // [main, before it is used] `failed` is called on any thread, at most once a second for reads and once for the rest.
  void on_failure(std::function<void(const Failure&)> failed) { failed_ = std::move(failed); }
  // Logs that a request failed and tells whoever wants to know, as often as that. Any thread.
  void report(const char* what, uint64_t offset, uint64_t length, int error);

 private:
  explicit BlockBackend(BlockOptions options) : options_(std::move(options)), throttle_(options_.iops_total) {}
  Status open_file();
  Status find_size();
  Status find_alignment();
  Status claim();

  BlockOptions options_;
  std::unique_ptr<BlockDriver> driver_;
  Fd fd_;
  uint64_t capacity_ = 0;
  uint32_t offset_align_ = 1;
  uint32_t memory_align_ = 1;
  bool block_device_ = false;
  uint64_t device_ = 0;  // st_dev and st_ino: which file this is, whatever its name
  uint64_t inode_ = 0;
  BlockThrottle throttle_;
  std::atomic<uint32_t> under_way_{0};
  BlockStatistics statistics_;
  std::function<void(const Failure&)> failed_;
  Mutex read_modify_write_;
  struct Reports {
    std::atomic<uint64_t> last{0};  // CLOCK_MONOTONIC, ns
    std::atomic<uint32_t> withheld{0};
  };
  Reports reports_[2];  // of reads, and of all that changes the disk
};

}  // namespace nacre
