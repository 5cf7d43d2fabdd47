#include "core/memory/guest_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>

#include "core/memory/parts.hpp"

namespace nacre {

// A view with what it points at, and the number of its holders.
struct GuestMemory::View {
  nacre_memory_view view{};  // first: holders give back its address
  std::vector<nacre_memory_region> regions;
  std::atomic<uint32_t> holders{0};
};

namespace {

// Refuses what the host could never back.
Status check_host_has(uint64_t size) {
  struct sysinfo info {};
  if (::sysinfo(&info) < 0) return {};
  const uint64_t unit = info.mem_unit ? info.mem_unit : 1;
  uint64_t ram = 0, swap = 0, total = 0;
  if (__builtin_mul_overflow(uint64_t{info.totalram}, unit, &ram) ||
      __builtin_mul_overflow(uint64_t{info.totalswap}, unit, &swap) || __builtin_add_overflow(ram, swap, &total))
    return {};
  if (size > total)
    return fail(
        "guest memory of {} MiB is more than this host has ({} MiB of memory and {} MiB of swap): give the guest less.",
        size >> 20, ram >> 20, swap >> 20);
  return {};
}

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(std::vector<MemoryPart> parts) {
  std::unique_ptr<GuestMemory> memory(new GuestMemory);
  uint64_t held = 0;  // by the host itself: no huge pages of a pool, no file of a disk
  for (MemoryPart& part : parts) {
    if (part.size == 0 || part.size % kPageSize != 0 || part.size > static_cast<uint64_t>(INT64_MAX) ||
        __builtin_add_overflow(memory->size_, part.size, &memory->size_))
      return fail("guest memory of {} bytes is not possible: it must be a multiple of {}, and not 0.", part.size,
                  kPageSize);
    if (!part.options.hugetlb && part.options.path.empty()) held += part.size;
  }
  if (Status has = check_host_has(held); !has) return has.error();
  uint64_t reserved = 0, alignment = 0;
  for (MemoryPart& part : parts) {
    auto backend = MemoryBackend::open(part.size, std::move(part.options));
    if (!backend) return backend.error();
    alignment = std::max(alignment, (*backend)->alignment());
    if (__builtin_add_overflow(reserved, part.size, &reserved))
      return fail("guest memory of {} bytes is too much.", part.size);
    memory->backends_.push_back(std::move(*backend));
  }
  // Room to align all of it like huge pages, so that they are possible from its first byte on. Between the parts is no
  // gap: what is one piece of memory to a guest is one here.
  if (__builtin_add_overflow(reserved, alignment, &reserved))
    return fail("guest memory of {} bytes is too much.", memory->size_);
  void* area = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED)
    return fail("cannot reserve {} MiB of guest memory: {}.", memory->size_ >> 20, strerror(errno));
  auto at = reinterpret_cast<uintptr_t>(area);
  const uintptr_t end = at + reserved;
  const uintptr_t first = (at + alignment - 1) & ~(alignment - 1);
  if (first > at) ::munmap(reinterpret_cast<void*>(at), first - at);
  at = first;
  Status mapped;
  for (auto& backend : memory->backends_) {
    if (at % backend->page_size() != 0)
      mapped = fail(
          "{} has pages of {} MiB and begins at {} MiB of the guest's memory; make the sizes before it a multiple.",
          backend->name(), backend->page_size() >> 20, (at - first) >> 20);
    else
      mapped = backend->map(reinterpret_cast<uint8_t*>(at));
    if (!mapped) break;
    at += backend->size();
  }
  if (end > at) ::munmap(reinterpret_cast<void*>(at), end - at);
  if (!mapped) return mapped.error();
  memory->publish();
  return memory;
}

GuestMemory::~GuestMemory() = default;

bool GuestMemory::has_content() const {
  return std::any_of(backends_.begin(), backends_.end(), [](const auto& backend) { return backend->has_content(); });
}

Status GuestMemory::place(uint64_t gpa, uint64_t length, uint32_t flags) {
  uint64_t end = 0;
  if (length == 0 || (gpa | length) % kPageSize != 0 || __builtin_add_overflow(gpa, length, &end))
    return fail("no memory can be at [{:#x}, +{:#x}): whole pages of {} bytes, not 0 and not around the end.", gpa,
                length, kPageSize);
  if (length > size_ - placed_)
    return fail("no {:#x} bytes of memory are left to put at {:#x}: {:#x} of {:#x} are placed already.", length, gpa,
                placed_, size_);
  if (!regions_.empty() && gpa < regions_.back().gpa + regions_.back().length)
    return fail("memory at {:#x} must be above that at [{:#x}, +{:#x}), which was placed before.", gpa,
                regions_.back().gpa, regions_.back().length);
  uint64_t first = 0;  // of the back end, in RAM
  bool joins = false;  // what goes on where the region before ends is part of it
  for (const auto& backend : backends_) {
    const uint64_t last = first + backend->size();
    if (placed_ < last && length > 0) {
      const uint64_t offset = placed_ - first, part = std::min(length, last - placed_);
      uint8_t* hva = backend->base() + offset;
      MemoryRegion* before = joins ? &regions_.back() : nullptr;
      if (before && before->hva + before->length == hva && before->fd < 0 && backend->shared_fd() < 0)
        before->length += part;
      else
        regions_.push_back({gpa, part, offset, hva, backend->shared_fd(), flags});
      joins = true;
      gpa += part;
      length -= part;
      placed_ += part;
    }
    first = last;
  }
  publish();
  return {};
}

void GuestMemory::publish() {
  auto next = std::make_unique<View>();
  for (const MemoryRegion& region : regions_) {
    nacre_memory_region out{};
    out.gpa = region.gpa;
    out.len = region.length;
    out.hva = region.hva;
    out.flags = region.flags;
    out.fd = region.fd;
    out.fd_offset = region.offset;
    next->regions.push_back(out);
  }
  View* old = current_.load(std::memory_order_relaxed);
  next->view.size = sizeof next->view;
  next->view.n_regions = static_cast<uint32_t>(next->regions.size());
  next->view.region_size = sizeof(nacre_memory_region);
  next->view.generation = old ? old->view.generation + 1 : 1;
  next->view.regions = next->regions.data();
  current_.store(next.get(), std::memory_order_seq_cst);
  views_.push_back(std::move(next));
  // A reader that found an old view has counted itself in it once nobody is entering; later ones find the new view.
  while (entering_.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  View* current = current_.load(std::memory_order_relaxed);
  std::erase_if(views_, [current](const auto& view) {
    return view.get() != current && view->holders.load(std::memory_order_acquire) == 0;
  });
  // By index: a subscriber may subscribe others.
  for (size_t i = 0; i < subscribers_.size(); ++i) subscribers_[i].changed();
}

const nacre_memory_view* GuestMemory::acquire() {
  entering_.fetch_add(1, std::memory_order_seq_cst);
  View* view = current_.load(std::memory_order_seq_cst);
  view->holders.fetch_add(1, std::memory_order_relaxed);
  entering_.fetch_sub(1, std::memory_order_release);
  return &view->view;
}

void GuestMemory::release(const nacre_memory_view* view) {
  auto* held = reinterpret_cast<View*>(const_cast<nacre_memory_view*>(view));
  held->holders.fetch_sub(1, std::memory_order_release);
}

bool GuestMemory::read(uint64_t gpa, void* to, uint64_t length) {
  const nacre_memory_view* view = acquire();
  auto* bytes = static_cast<uint8_t*>(to);
  bool all = for_each_part(*view, gpa, length, 0, [bytes](const uint8_t* hva, uint64_t done, uint64_t part) {
    std::memcpy(bytes + done, hva, part);
  });
  release(view);
  return all;
}

bool GuestMemory::write(uint64_t gpa, const void* from, uint64_t length) {
  const nacre_memory_view* view = acquire();
  const auto* bytes = static_cast<const uint8_t*>(from);
  bool all =
      for_each_part(*view, gpa, length, NACRE_MEMORY_READONLY,
                    [bytes](uint8_t* hva, uint64_t done, uint64_t part) { std::memcpy(hva, bytes + done, part); });
  release(view);
  return all;
}

uint64_t GuestMemory::subscribe(std::function<void()> changed) {
  subscribers_.push_back({next_subscriber_, std::move(changed)});
  return next_subscriber_++;
}

void GuestMemory::unsubscribe(uint64_t id) {
  std::erase_if(subscribers_, [id](const Subscriber& subscriber) { return subscriber.id == id; });
}

}  // namespace nacre
