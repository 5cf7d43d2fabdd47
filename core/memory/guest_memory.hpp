// Guest RAM: back ends one after another, placed in guest-physical space by regions, published to readers as immutable
// views.
#pragma once

#include <nacre/abi/memory.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/mutex.hpp"
#include "core/base/result.hpp"
#include "core/memory/backend.hpp"

namespace nacre {

// Where a part of RAM is in guest-physical space; `offset` is its place in its back end, and in `fd` when others can
// map it (else -1).
struct MemoryRegion {
  uint64_t gpa;
  uint64_t length;
  uint64_t offset;
  uint8_t* hva;
  int fd;
  uint32_t flags;  // NACRE_MEMORY_*
};

// Changed on the main thread, read on all.
class GuestMemory {
 public:
  static constexpr uint64_t kPageSize = 4096;

  // Reserves the parts (at least one), which follow each other as RAM and are placed nowhere yet. Refuses more than the
  // host's memory and swap, and in words what a back end refuses.
  static Result<std::unique_ptr<GuestMemory>> create(std::vector<MemoryPart> parts);
  static Result<std::unique_ptr<GuestMemory>> create(uint64_t size, const MemoryOptions& options) {
    return create({{size, options}});
  }
  // Every view must have been released.
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // [main] Places the next `length` bytes of RAM at `gpa` (multiples of 4096, above the regions placed before) and
  // publishes a new view. One region comes of it, or one for each shared back end that it reaches into. Fails when they
  // overlap, wrap, or exceed what create() reserved.
  Status place(uint64_t gpa, uint64_t length, uint32_t flags = 0);
  // [main] The regions, ascending.
  const std::vector<MemoryRegion>& regions() const { return regions_; }

  uint64_t size() const { return size_; }
  uint64_t placed() const { return placed_; }
  // The file behind shared RAM (behind its first part), or -1.
  int fd() const { return backends_.front()->shared_fd(); }
  // Some of it comes from a file that was there before, so it may begin as other than zeroes.
  bool has_content() const;

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
  // Calls visit(backend, hva, done, part) for each part of [hva, hva + length) that lies in one back end.
  template <typename Visit>
  void for_each_backend(uint8_t* hva, uint64_t length, Visit visit);
  Status load_part(const MemoryBackend& backend, uint8_t* hva, int fd, uint64_t offset, uint64_t length);
  void note_file(uint8_t* hva, uint64_t length);
  bool discard_part(MemoryBackend& backend, uint8_t* hva, uint64_t length);
  bool discard_over_files(const MemoryBackend& backend, uint8_t* hva, uint64_t length);

  uint64_t size_ = 0;
  uint64_t placed_ = 0;
  std::vector<std::unique_ptr<MemoryBackend>> backends_;
  std::vector<MemoryRegion> regions_;
  std::atomic<uint32_t> pins_{0};
  Mutex files_lock_;
  std::vector<std::span<uint8_t>> files_ NACRE_GUARDED_BY(files_lock_);  // RAM that load_file() has mapped to a file
  std::vector<Subscriber> subscribers_;
  uint64_t next_subscriber_ = 1;

  std::vector<std::unique_ptr<View>> views_;  // the current one and those still held
  std::atomic<View*> current_{nullptr};
  std::atomic<uint32_t> entering_{0};  // readers between finding the current view and counting themselves in it
};

template <typename Visit>
void GuestMemory::for_each_backend(uint8_t* hva, uint64_t length, Visit visit) {
  for (uint64_t done = 0; done < length;)
    for (const auto& backend : backends_) {
      if (done == length || !backend->holds(hva + done)) continue;
      const auto left = static_cast<uint64_t>(backend->base() + backend->size() - (hva + done));
      const uint64_t part = length - done < left ? length - done : left;
      visit(*backend, hva + done, done, part);
      done += part;
    }
}

}  // namespace nacre
