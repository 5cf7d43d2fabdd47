// The ranges of memory-mapped or port I/O that devices answer for, and the way from a vCPU's access to its device.
#pragma once

#include <nacre/abi/mmio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/kvm/vm.hpp"

namespace nacre {

struct BusRegion;

// A call of a device's read or write that took more than the limit.
struct SlowCall {
  const char* owner;
  uint32_t vcpu;
  uint32_t space;  // NACRE_SPACE_*
  bool write;
  uint64_t offset;
  uint64_t nanoseconds;
};

// "<owner> held vCPU 0 for 14 ms in mmio_read(0x18); limit 1 ms. (Reported once a minute.)"
std::string describe(const SlowCall& call);

class AddressSpace {
 public:
  static constexpr uint64_t kSlowCallNs = 1'000'000;
  static constexpr uint64_t kReportIntervalNs = 60'000'000'000;

  // Waits until `done()` is true; the main loop's serves calls of other threads meanwhile.
  using Waiter = std::function<void(const std::function<bool()>& done)>;

  struct Options {
    uint32_t space = NACRE_SPACE_MMIO;
    uint32_t readers = 1;        // threads that read and write: the greatest number of vCPUs, and what else comes in
    kvm::Vm* vm = nullptr;       // for ioeventfds; NULL: there are none
    Waiter waiter;               // for release(); empty: sleeps in short steps
    std::function<void()> wake;  // [vcpu] called when a waiter should look again; with `waiter` (EventLoop::wake)
    // [vcpu] Called at most once a minute for each region.
    std::function<void(const SlowCall&)> slow;
  };

  explicit AddressSpace(Options options);
  // No reader is inside.
  ~AddressSpace();
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  // [main] Answers for [base, base + length) with `ops` (copied) until release(). `owner` names who in words that can
  // begin a sentence ("plugin 'org.x.foo'"). Fails, naming the other owner, when a part is claimed already; when the
  // range is empty, wraps or (ports) ends beyond 0xffff; and for flags it does not know.
  Result<BusRegion*> claim(uint64_t base, uint64_t length, uint32_t flags, const nacre_mmio_ops& ops, void* opaque,
                           std::string owner);
  // [main] Ends it, with its ioeventfds. No call of its ops is running or will come once this has returned. Not from
  // inside those ops.
  void release(BusRegion* region);

  // [main] A guest write of `width` bytes at `offset` (of exactly `value` when match is set) signals the returned
  // eventfd and comes to write() no more. The descriptor is the region's and closes with it.
  Result<int> ioeventfd(BusRegion* region, uint64_t offset, uint32_t width, bool match, uint64_t value);

  // [vcpu] `reader` is the caller's own number, below Options::readers; no two threads use one at a time. Lock-free but
  // for regions that ask to be serialised. An access to nothing, of a width other than 1, 2, 4 and 8, across the end of
  // a region, or from inside another access of the same reader reads as all ones and writes nothing.
  uint64_t read(uint32_t reader, uint64_t address, uint32_t width);
  void write(uint32_t reader, uint64_t address, uint32_t width, uint64_t value);

  // [main] The name of the owner of the first region that touches [base, base + length), or an empty string.
  std::string owner_of(uint64_t base, uint64_t length) const;

  struct Range {
    uint64_t base;
    uint64_t length;
  };
  // [main] What is claimed, ascending.
  std::vector<Range> ranges() const;

 private:
  struct Snapshot;
  struct Reader;

  BusRegion* enter(Reader& reader, uint64_t address, uint32_t width);
  void leave(Reader& reader);
  void wake_waiter();
  void publish(const BusRegion* leaving);
  bool is_quiet(const Snapshot* old, const BusRegion* leaving) const;
  void measure(BusRegion& region, uint32_t reader, bool write, uint64_t offset, uint64_t begin);

  Options options_;
  std::vector<std::unique_ptr<BusRegion>> regions_;  // ascending by base; main only
  std::unique_ptr<Snapshot> snapshot_;               // owns what current_ points to; main only
  std::atomic<const Snapshot*> current_;
  std::atomic<uint32_t> waiting_{0};
  std::unique_ptr<Reader[]> readers_;
  uint64_t clock_ticks_;  // of the processor's counter and of the clock, at the beginning: their ratio is its rate
  uint64_t clock_ns_;
};

}  // namespace nacre
