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

Result<Fd> make_memfd(uint64_t size) {
  Fd fd(::memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail("cannot make shareable guest memory: {}.", strerror(errno));
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) < 0)
    return fail("cannot make {} MiB of shareable guest memory: {}.", size >> 20, strerror(errno));
  // Whoever it is shared with cannot take the memory from under the guest by making it shorter.
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    return fail("cannot seal the size of shareable guest memory: {}.", strerror(errno));
  return fd;
}

// Linux Documentation/admin-guide/mm/transhuge.rst: "never" is chosen, or there is no such file, where there are none.
bool host_has_huge_pages() {
  Fd fd(::open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC));
  char text[64];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof text) : 0;
  return length > 0 && std::string_view(text, static_cast<size_t>(length)).find("[never]") == std::string_view::npos;
}

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(uint64_t size, const MemoryOptions& options) {
  if (size == 0 || size % kPageSize != 0 || size > static_cast<uint64_t>(INT64_MAX))
    return fail("guest memory of {} bytes is not possible: it must be a multiple of {}, and not 0.", size, kPageSize);
  if (Status has = check_host_has(size); !has) return has.error();

  std::unique_ptr<GuestMemory> memory(new GuestMemory);
  memory->options_ = options;
  memory->options_.huge_pages = options.huge_pages && !options.shared && host_has_huge_pages();
  memory->size_ = size;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (options.shared) {
    auto fd = make_memfd(size);
    if (!fd) return fd.error();
    memory->fd_ = std::move(*fd);
    flags = MAP_SHARED | MAP_NORESERVE;
  }
  // Aligned like huge pages, so that they are possible from the first byte on.
  constexpr uint64_t kHugePage = 2u << 20;
  uint64_t reserved = 0;
  if (__builtin_add_overflow(size, kHugePage, &reserved)) return fail("guest memory of {} bytes is too much.", size);
  void* area = ::mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return fail("cannot reserve {} MiB of guest memory: {}.", size >> 20, strerror(errno));
  const auto begin = reinterpret_cast<uintptr_t>(area);
  const uintptr_t aligned = (begin + kHugePage - 1) & ~(kHugePage - 1);
  void* base =
      ::mmap(reinterpret_cast<void*>(aligned), size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, memory->fd_.get(), 0);
  const int error = errno;
  if (aligned > begin) ::munmap(area, aligned - begin);
  const uintptr_t end = base == MAP_FAILED ? aligned : aligned + size;
  if (begin + reserved > end) ::munmap(reinterpret_cast<void*>(end), begin + reserved - end);
  if (base == MAP_FAILED) return fail("cannot map {} MiB of guest memory: {}.", size >> 20, strerror(error));
  memory->base_ = static_cast<uint8_t*>(base);

  if (memory->options_.huge_pages) ::madvise(base, size, MADV_HUGEPAGE);
  if (!options.dump_guest_core && ::madvise(base, size, MADV_DONTDUMP) < 0)
    return fail("cannot keep guest memory out of core dumps: {}.", strerror(errno));
  // A child that somebody forks shall not drag the guest's memory along.
  ::madvise(base, size, MADV_DONTFORK);
  memory->publish();
  return memory;
}

GuestMemory::~GuestMemory() {
  if (base_) ::munmap(base_, size_);
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
  regions_.push_back({gpa, length, placed_, base_ + placed_, flags});
  placed_ += length;
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
    out.fd = fd_.get();
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
