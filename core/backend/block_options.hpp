// What `-drive` and `blockdev-add` say about a disk, and which of it may stand together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

enum class BlockAio {
  Default,  // Native when direct, Off otherwise
  Native,   // asynchronous by the kernel, needs direct. Served by io_uring as well: it does all that Linux AIO does, at
            // no higher cost, and so there is one engine less
  IoUring,
  Threads,
  Off,  // synchronous in the thread that submits, the fastest for files that are in the page cache
};

enum class DetectZeroes { Off, On, Unmap };

struct BlockOptions {
  static constexpr uint64_t kMaxIops = 1'000'000;

  std::string id;
  std::string driver;                                           // a plugin's, by name; empty: a file
  std::vector<std::pair<std::string, std::string>> properties;  // its own, as the user wrote them
  std::string file;                                             // with no driver
  bool readonly = false;
  bool direct = true;  // O_DIRECT
  BlockAio aio = BlockAio::Default;
  bool discard = false;  // discard=unmap
  DetectZeroes detect_zeroes = DetectZeroes::Off;
  // Where another process holds the image, wait a moment for it. For a start: a killed VMM's image is free only when
  // the kernel has ended the requests that were under way in its io_uring, which is after the process has gone.
  bool wait_for_lock = false;
  uint64_t iops_total = 0;  // requests per second of the whole drive, 0 .. kMaxIops; 0: no limit

  // The engine asked for, with Default resolved.
  BlockAio engine() const;
  // Says in one sentence what does not go together; `id`, and `file` or `driver`, are required.
  Status check() const;
};

// Read the option's value: native, io_uring, threads, off; off, on, unmap; unmap, ignore, on, off. Fail with a sentence
// that names the option and what is allowed.
Result<BlockAio> parse_block_aio(std::string_view value);
Result<DetectZeroes> parse_detect_zeroes(std::string_view value);
Result<bool> parse_block_discard(std::string_view value);

const char* to_string(BlockAio aio);
const char* to_string(DetectZeroes detect);

}  // namespace nacre
