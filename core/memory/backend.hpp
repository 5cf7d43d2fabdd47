// One piece of guest RAM and what the host has behind it: anonymous memory, a memfd or a file, as
// -object memory-backend-* asks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/memory/policy.hpp"

namespace nacre {

// Transparent huge pages for private RAM: fewer nested page faults, more memory touched early.
inline constexpr bool kHugePagesByDefault = true;

// Without a path: a sealed memfd where it is shared or of huge pages, else anonymous memory.
struct MemoryOptions {
  bool shared = false;          // others can map it (vhost-user and the like)
  bool dump_guest_core = true;  // false: it is left out of core dumps
  bool huge_pages = kHugePagesByDefault;
  bool prealloc = false;                    // all of it is there before the guest starts
  bool hugetlb = false;                     // a memfd from the host's pool of huge pages
  uint64_t huge_page_size = 0;              // which pool, in bytes; 0: the host's default
  std::string path = {};                    // of a file, or of the directory in which to make one without a name
  HostPolicy policy = HostPolicy::Default;  // where the host takes it from,
  std::vector<uint32_t> host_nodes = {};    // ascending; empty exactly with the default policy
  std::string id = {};                      // for words about it; empty: it is all of the guest's memory
};

struct MemoryPart {
  uint64_t size;  // bytes, a multiple of 4096, not 0
  MemoryOptions options;
};

// Main thread; discard() any.
class MemoryBackend {
 public:
  static constexpr uint64_t kPageSize = 4096;

  // Makes or opens what is to be mapped, and refuses in words what cannot be: no such file, too small a file, a file
  // system or a host with too little.
  static Result<std::unique_ptr<MemoryBackend>> open(uint64_t size, MemoryOptions options);
  ~MemoryBackend();
  MemoryBackend(const MemoryBackend&) = delete;
  MemoryBackend& operator=(const MemoryBackend&) = delete;

  // Maps it over [at, at + size()), reserved address space aligned to page_size(), and puts pages behind all of it when
  // it is to be preallocated. Fails in words, with a hole left at `at`.
  Status map(uint8_t* at);

  // Begins sentences about it.
  std::string name() const;
  uint64_t size() const { return size_; }
  uint64_t page_size() const { return page_size_; }
  // Of its address: one that lets huge pages be.
  uint64_t alignment() const;
  uint8_t* base() const { return base_; }
  bool holds(const uint8_t* hva) const { return hva >= base_ && hva < base_ + size_; }
  // What others can map, or -1.
  int shared_fd() const { return options_.shared ? fd_.get() : -1; }
  // It comes from a file that was there before, so it may be other than zeroes.
  bool has_content() const { return has_content_; }
  // Pages of it may be replaced by a mapping of another file, and are better not for huge_pages().
  bool anonymous() const { return !fd_; }
  // Whether pages of it may be replaced by a file's: not where the host was asked for them, or for where they are.
  bool replaceable() const { return !fd_ && !options_.prealloc && options_.policy == HostPolicy::Default; }
  bool huge_pages() const { return options_.huge_pages; }
  bool dumped() const { return options_.dump_guest_core; }

  // [any] Gives whole pages back to the host, so that they read as zeroes. False where the host refuses.
  bool discard(uint8_t* hva, uint64_t length);

 private:
  MemoryBackend(uint64_t size, MemoryOptions options) : size_(size), options_(std::move(options)) {}
  Status open_memfd();
  Status open_file();
  Status check_file();
  Status check_room() const;
  Status preallocate(uint8_t* at);

  const uint64_t size_;
  MemoryOptions options_;
  uint64_t page_size_ = kPageSize;
  bool has_content_ = false;
  bool on_disk_ = false;  // pages can be written out to a file of a disk
  Fd fd_;
  uint8_t* base_ = nullptr;
};

}  // namespace nacre
