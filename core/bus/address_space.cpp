#include "core/bus/address_space.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "core/bus/region.hpp"

namespace nacre {

// The regions at one moment, for readers: never changed, only replaced.
struct AddressSpace::Snapshot {
  struct Entry {
    uint64_t base;
    uint64_t length;
    BusRegion* region;
  };
  std::vector<Entry> entries;  // ascending
};

// What a reader holds on to: the snapshot while it looks a region up, then the region while it calls its ops. Whoever
// ends a region waits until no reader holds the region, or a snapshot in which it still was.
struct alignas(64) AddressSpace::Reader {
  std::atomic<const Snapshot*> snapshot{nullptr};
  std::atomic<const BusRegion*> region{nullptr};
};

AddressSpace::AddressSpace(Options options)
    : options_(std::move(options)),
      snapshot_(std::make_unique<Snapshot>()),
      current_(snapshot_.get()),
      readers_(std::make_unique<Reader[]>(std::max(1u, options_.readers))),
      clock_ticks_(counter_ticks()),
      clock_ns_(clock_ns()) {
  options_.readers = std::max(1u, options_.readers);
  if (!options_.waiter)
    options_.waiter = [](const std::function<bool()>& done) {
      while (!done()) ::usleep(50);
    };
}

AddressSpace::~AddressSpace() {
  while (!regions_.empty()) release(regions_.back().get());
}

Result<BusRegion*> AddressSpace::claim(uint64_t base, uint64_t length, uint32_t flags, const nacre_mmio_ops& ops,
                                       void* opaque, std::string owner) {
  const char* what = options_.space == NACRE_SPACE_PIO ? "ports" : "addresses";
  uint64_t last = 0;
  if (length == 0 || __builtin_add_overflow(base, length - 1, &last) ||
      (options_.space == NACRE_SPACE_PIO && last > 0xffff))
    return fail("{} cannot have {} [{:#x}, +{:#x}): {}.", owner, what, base, length,
                length == 0 ? "the range is empty" : "the range goes beyond the end");
  if (flags & NACRE_MUST_UNDERSTAND & ~uint32_t{NACRE_MMIO_SERIALIZE})
    return fail("{} asks for {} [{:#x}, +{:#x}) with flags {:#x}, which this version does not know.", owner, what, base,
                length, flags);
  if (ops.size < sizeof(nacre_mmio_ops) || !ops.read || !ops.write)
    return fail("{} asks for {} [{:#x}, +{:#x}) without functions to read and write them.", owner, what, base, length);
  if (std::string other = owner_of(base, length); !other.empty())
    return fail("{} cannot have {} [{:#x}, +{:#x}): {} has part of them already.", owner, what, base, length, other);

  auto region = std::make_unique<BusRegion>();
  region->base = base;
  region->length = length;
  region->flags = flags;
  region->ops = ops;
  region->opaque = opaque;
  region->owner = std::move(owner);
  BusRegion* raw = region.get();
  auto place = std::find_if(regions_.begin(), regions_.end(), [base](const auto& each) { return each->base > base; });
  regions_.insert(place, std::move(region));
  publish(nullptr);
  return raw;
}

void AddressSpace::release(BusRegion* region) {
  for (const BusRegion::Event& event : region->events)
    // Fails only when the machine is half gone, and then the kernel has ended it already.
    [[maybe_unused]] auto removed = options_.vm->remove_ioeventfd(event.event, event.fd.get());
  auto found =
      std::find_if(regions_.begin(), regions_.end(), [region](const auto& each) { return each.get() == region; });
  if (found == regions_.end()) return;
  std::unique_ptr<BusRegion> leaving = std::move(*found);
  regions_.erase(found);
  publish(region);
}

// Replaces the snapshot by the regions as they are now; returns when no reader is in the old one or in `leaving`.
void AddressSpace::publish(const BusRegion* leaving) {
  auto next = std::make_unique<Snapshot>();
  next->entries.reserve(regions_.size());
  for (const auto& region : regions_) next->entries.push_back({region->base, region->length, region.get()});
  std::unique_ptr<Snapshot> old = std::exchange(snapshot_, std::move(next));
  current_.store(snapshot_.get(), std::memory_order_seq_cst);
  auto quiet = [&] { return is_quiet(old.get(), leaving); };
  if (quiet()) return;
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  if (!quiet()) options_.waiter(quiet);
  waiting_.fetch_sub(1, std::memory_order_seq_cst);
}

bool AddressSpace::is_quiet(const Snapshot* old, const BusRegion* leaving) const {
  for (uint32_t i = 0; i < options_.readers; ++i) {
    // In this order: a reader announces its region before it lets go of the snapshot.
    if (readers_[i].snapshot.load(std::memory_order_seq_cst) == old) return false;
    if (leaving && readers_[i].region.load(std::memory_order_seq_cst) == leaving) return false;
  }
  return true;
}

Result<int> AddressSpace::ioeventfd(BusRegion* region, uint64_t offset, uint32_t width, bool match, uint64_t value) {
  if (width > 8 || (width & (width - 1)) != 0 || (width == 0 && match) || offset >= region->length ||
      std::max(1u, width) > region->length - offset)
    return fail("{} cannot have an eventfd for writes of {} bytes at offset {:#x} of its range of {:#x} bytes.",
                region->owner, width, offset, region->length);
  if (!options_.vm) return fail("{} cannot have an eventfd for writes: this machine has no KVM.", region->owner);
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return fail("{} cannot have an eventfd: {}.", region->owner, strerror(errno));
  kvm::IoEvent event;
  event.pio = options_.space == NACRE_SPACE_PIO;
  event.address = region->base + offset;
  event.length = width;
  if (match) event.match = value;
  if (Status added = options_.vm->add_ioeventfd(event, fd.get()); !added) return added.error();
  const int raw = fd.get();
  region->events.push_back({event, std::move(fd)});
  return raw;
}

std::vector<AddressSpace::Range> AddressSpace::ranges() const {
  std::vector<Range> all;
  for (const auto& region : regions_) all.push_back({region->base, region->length});
  return all;
}

std::string AddressSpace::owner_of(uint64_t base, uint64_t length) const {
  for (const auto& region : regions_) {
    const bool apart = base >= region->base ? base - region->base >= region->length : region->base - base >= length;
    if (!apart) return region->owner;
  }
  return {};
}

BusRegion* AddressSpace::enter(Reader& reader, uint64_t address, uint32_t width) {
  if (width > 8 || width == 0 || (width & (width - 1)) != 0) return nullptr;
  // A device whose own access comes back to the bus is answered like nobody.
  if (reader.region.load(std::memory_order_relaxed)) return nullptr;
  const Snapshot* snapshot = current_.load(std::memory_order_acquire);
  for (;;) {
    reader.snapshot.store(snapshot, std::memory_order_seq_cst);
    const Snapshot* now = current_.load(std::memory_order_seq_cst);
    if (now == snapshot) break;
    snapshot = now;
  }
  const auto& entries = snapshot->entries;
  auto next = std::upper_bound(entries.begin(), entries.end(), address,
                               [](uint64_t at, const Snapshot::Entry& entry) { return at < entry.base; });
  BusRegion* found = nullptr;
  if (next != entries.begin()) {
    const Snapshot::Entry& entry = next[-1];
    const uint64_t offset = address - entry.base;
    if (offset < entry.length && width <= entry.length - offset) found = entry.region;
  }
  reader.region.store(found, std::memory_order_seq_cst);
  reader.snapshot.store(nullptr, std::memory_order_seq_cst);
  wake_waiter();
  return found;
}

void AddressSpace::leave(Reader& reader) {
  reader.region.store(nullptr, std::memory_order_seq_cst);
  wake_waiter();
}

void AddressSpace::wake_waiter() {
  if (waiting_.load(std::memory_order_seq_cst) != 0 && options_.wake) [[unlikely]]
    options_.wake();
}

uint64_t AddressSpace::read(uint32_t reader_number, uint64_t address, uint32_t width) {
  const uint64_t ones = width >= 8 ? UINT64_MAX : (uint64_t{1} << (width * 8)) - 1;
  if (reader_number >= options_.readers) return ones;
  Reader& reader = readers_[reader_number];
  BusRegion* region = enter(reader, address, width);
  if (!region) return ones;
  const uint64_t offset = address - region->base;
  uint64_t value;
  {
    std::optional<MutexLock> lock;
    if (region->flags & NACRE_MMIO_SERIALIZE) lock.emplace(region->serialize);
    const uint64_t begin = counter_ticks();
    value = region->ops.read(region->opaque, offset, width);
    measure(*region, reader_number, false, offset, begin);
  }
  leave(reader);
  return value & ones;
}

void AddressSpace::write(uint32_t reader_number, uint64_t address, uint32_t width, uint64_t value) {
  if (reader_number >= options_.readers) return;
  Reader& reader = readers_[reader_number];
  BusRegion* region = enter(reader, address, width);
  if (!region) return;
  const uint64_t offset = address - region->base;
  {
    std::optional<MutexLock> lock;
    if (region->flags & NACRE_MMIO_SERIALIZE) lock.emplace(region->serialize);
    const uint64_t begin = counter_ticks();
    region->ops.write(region->opaque, offset, width, value);
    measure(*region, reader_number, true, offset, begin);
  }
  leave(reader);
}

}  // namespace nacre
