// Guest RAM: one host mapping, placed in guest-physical space by regions, published to readers as immutable views.
#pragma once

#include <nacre/abi/memory.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Transparent huge pages for private RAM: fewer nested page faults, more memory touched early.
inline constexpr bool kHugePagesByDefault = true;

struct MemoryOptions {
  bool shared = false;          // a sealed memfd mapped shared (for vhost-user and the like), not anonymous memory
  bool dump_guest_core = true;  // false: RAM is left out of core dumps
  bool huge_pages = kHugePagesByDefault;
};

// Where a part of RAM is in guest-physical space; `offset` is its place in the mapping (and in fd() when shared).
struct MemoryRegion {
  uint64_t gpa;
  uint64_t length;
  uint64_t offset;
  uint8_t* hva;
  uint32_t flags;  // NACRE_MEMORY_*
};

// Changed on the main thread, read on all.
class GuestMemory {
 public:
  static constexpr uint64_t kPageSize = 4096;

  // Reserves `size` bytes (a multiple of 4096, not 0), placed nowhere yet. Refuses more than the host's memory and
  // swap.
  static Result<std::unique_ptr<GuestMemory>> create(uint64_t size, const MemoryOptions& options);
  // Every view must have been released.
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // [main] Places the next `length` bytes of RAM at `gpa` (multiples of 4096, above the regions placed before) and
  // publishes a new view. Fails when they overlap, wrap, or exceed what create() reserved.
  Status place(uint64_t gpa, uint64_t length, uint32_t flags = 0);
  // [main] The regions, ascending.
  const std::vector<MemoryRegion>& regions() const { return regions_; }

  uint64_t size() const { return size_; }
  uint64_t placed() const { return placed_; }
  // The memfd behind shared RAM, or -1.
  int fd() const { return fd_.get(); }

  // [any] The memory as it is now, unchanged until released; lock-free. Never NULL.
  const nacre_memory_view* acquire();
  void release(const nacre_memory_view* view);

  // [any] Copies across adjoining regions; false, with nothing copied, when any byte is not RAM. Length 0 is true.
  bool read(uint64_t gpa, void* to, uint64_t length);
  // Likewise; false also for a read-only region.
  bool write(uint64_t gpa, const void* from, uint64_t length);

  // [main, vCPUs not running] Puts [offset, offset + length) of the file into RAM at gpa; does so again after a reset.
  // Whole pages are mapped copy-on-write where RAM is private, on small pages, and both sides are aligned alike; the
  // rest is copied. Fails, in words, when the file is shorter or the range is not all RAM; RAM is then partly
  // overwritten at most by a read error. The descriptor stays the caller's and may be closed afterwards.
  Status load_file(uint64_t gpa, int fd, uint64_t offset, uint64_t length);

  enum class Discarded { Done, NotRam, Pinned, Refused };
  // [any] Gives the memory behind a range back to the host; it reads as zeroes from then on. Whole pages are given
  // back, parts of pages are filled with zeroes. Refused: the host does not free it (it is locked); its contents are
  // undefined.
  Discarded discard(uint64_t gpa, uint64_t length);
  // [any] While pins are held, nothing is discarded.
  void pin() { pins_.fetch_add(1); }
  void unpin() { pins_.fetch_sub(1); }

  // [main] Calls `changed` on the main thread after each new view, until the returned id is given to unsubscribe().
  uint64_t subscribe(std::function<void()> changed);
  void unsubscribe(uint64_t id);

 private:
  struct View;
  struct Subscriber {
    uint64_t id;
    std::function<void()> changed;
  };

  GuestMemory() = default;
  void publish();
  Status load_part(uint8_t* hva, int fd, uint64_t offset, uint64_t length);
  void note_file(uint8_t* hva, uint64_t length);
  bool discard_part(uint8_t* hva, uint64_t length);
  bool discard_pages(uint8_t* hva, uint64_t length);
  bool discard_over_files(uint8_t* hva, uint64_t length);

  MemoryOptions options_;
  uint64_t size_ = 0;
  uint64_t placed_ = 0;
  uint8_t* base_ = nullptr;
  Fd fd_;
  std::vector<MemoryRegion> regions_;
  std::atomic<uint32_t> pins_{0};
  std::mutex files_lock_;
  std::vector<std::span<uint8_t>> files_;  // RAM that load_file() has mapped to a file
  std::vector<Subscriber> subscribers_;
  uint64_t next_subscriber_ = 1;

  std::vector<std::unique_ptr<View>> views_;  // the current one and those still held
  std::atomic<View*> current_{nullptr};
  std::atomic<uint32_t> entering_{0};  // readers between finding the current view and counting themselves in it
};

}  // namespace nacre
