#include "core/bus/pci/host.hpp"

#include <algorithm>
#include <utility>

#include "core/base/log.hpp"

namespace nacre::pci {
namespace {

constexpr uint64_t kBytesPerBus = 1 << 20;
constexpr uint32_t kConfigPorts = 0xcf8;

uint32_t ones(uint32_t width) {
  return width >= 4 ? UINT32_MAX : (1u << (8 * width)) - 1;
}

Range intersection(const Range& a, const Range& b) {
  const uint64_t from = std::max(a.base, b.base);
  const uint64_t to = std::min(a.base + a.length, b.base + b.length);
  return to > from ? Range{from, to - from} : Range{};
}

std::vector<Range> clip(const std::vector<Range>& above, std::initializer_list<Range> own) {
  std::vector<Range> both;
  for (const Range& a : above)
    for (const Range& b : own)
      if (Range common = intersection(a, b); common.length) both.push_back(common);
  return both;
}

// What a bridge forwards (bridge 1.2 §3.2.5.6 to §3.2.5.10), from a base up to and with a limit.
Range between(uint64_t base, uint64_t limit) {
  return limit >= base ? Range{base, limit - base + 1} : Range{};
}

Range memory_window(const ConfigSpace& c) {
  return between(uint64_t{c.get16(kMemoryBase) & 0xfff0u} << 16, uint64_t{c.get16(kMemoryLimit)} << 16 | 0xfffff);
}

Range prefetch_window(const ConfigSpace& c) {
  return between(uint64_t{c.get32(kPrefetchBaseUpper)} << 32 | (c.get16(kPrefetchBase) & 0xfff0u) << 16,
                 uint64_t{c.get32(kPrefetchLimitUpper)} << 32 | uint64_t{c.get16(kPrefetchLimit)} << 16 | 0xfffff);
}

Range io_window(const ConfigSpace& c) {
  return between((c.get8(kIoBase) & 0xf0u) << 8, (c.get8(kIoLimit) & 0xf0u) << 8 | 0xfff);
}

}  // namespace

Result<std::unique_ptr<PciHost>> PciHost::create(const Ground& ground, const HostLayout& layout) {
  auto host = std::unique_ptr<PciHost>(new PciHost(ground, layout));
  if (layout.ecam_buses > 256 || layout.ecam_base % kBytesPerBus)
    return fail("an ECAM of {} buses at {:#x} is not possible: at most 256, at a multiple of 1 MiB.", layout.ecam_buses,
                layout.ecam_base);
  host->ecam_base_ = layout.ecam_base;
  host->ecam_buses_ = layout.ecam_buses;
  if (Status claimed = host->claim_ecam(); !claimed) return claimed.error();
  if (layout.config_ports) {
    const nacre_mmio_ops ops{sizeof ops, 0, port_read, port_write};
    Result<BusRegion*> claimed = ground.ports.claim(kConfigPorts, 8, 0, ops, host.get(), "the PCI host");
    if (!claimed) return claimed.error();
    host->ports_ = *claimed;
  }
  return host;
}

PciHost::~PciHost() {
  if (ecam_) ground_.memory.release(ecam_);
  if (ports_) ground_.ports.release(ports_);
}

Status PciHost::claim_ecam() {
  if (ecam_) ground_.memory.release(std::exchange(ecam_, nullptr));
  // While a vCPU was waited for, the guest may have moved it once more, and that is done already.
  if (ecam_ || !ecam_buses_) return {};
  const nacre_mmio_ops ops{sizeof ops, 0, ecam_read, ecam_write};
  Result<BusRegion*> claimed =
      ground_.memory.claim(ecam_base_, ecam_buses_ * kBytesPerBus, 0, ops, this, "the PCI configuration space");
  if (!claimed) return claimed.error();
  ecam_ = *claimed;
  return {};
}

void PciHost::place_ecam(uint64_t base, uint32_t buses) {
  {
    MutexLock lock(wanted_mutex_);
    wanted_ = {base / kBytesPerBus * kBytesPerBus, std::min(buses, 256u)};
    if (std::exchange(wanted_posted_, true)) return;
  }
  ground_.loop.post_alone([this] {
    EcamPlace place;
    {
      MutexLock lock(wanted_mutex_);
      place = wanted_;
      wanted_posted_ = false;
    }
    // What has failed is not tried again before a reset.
    if (place.base == ecam_base_ && place.buses == ecam_buses_ && (ecam_ || !place.buses || ecam_lost_)) return;
    ecam_base_ = place.base;
    ecam_buses_ = place.buses;
    Status claimed = claim_ecam();
    ecam_lost_ = !claimed;
    if (ecam_lost_ && !std::exchange(ecam_told_, true))
      log::warn("pci", "the guest loses ECAM: {}", claimed.error().message);
  });
}

void PciHost::plug(PciBus& bus, uint8_t devfn, PciFunction& function, bool hot) {
  change([&] {
    function.placed(devfn);
    function.config().save();
    bus.put(function, devfn, lines_);
    if (bus.bridge()) bus.bridge()->child_came(hot);
  });
}

void PciHost::unplug(PciFunction& function) {
  ServingLock lock(mutex_);
  if (!function.bus()) return;
  for (uint32_t i = 0; i < PciFunction::kBars; ++i) unmap(function, i);
  PciFunction* bridge = function.bus()->bridge();
  function.bus()->take(function);
  if (function.msix()) function.msix()->reset();  // it sends no messages any more
  if (bridge) bridge->child_went();
  follow();  // what it had may be another's now
}

void PciHost::reset() {
  change([this]() NACRE_REQUIRES(mutex_) {
    root_.reset();
    address_ = 0;
  });
  ecam_lost_ = ecam_told_ = false;
  place_ecam(layout_.ecam_base, layout_.ecam_buses);
}

PciFunction* PciHost::find(uint8_t bus, uint8_t devfn) {
  PciBus* found = root_.find(bus);
  return found && (!found->bridge() || found->bridge()->link_up()) ? found->at(devfn) : nullptr;
}

uint32_t PciHost::read_config(uint8_t bus, uint8_t devfn, uint32_t offset, uint32_t width) {
  if (offset > ConfigSpace::kBytes - width) return ones(width);
  ServingLock lock(mutex_);
  PciFunction* function = find(bus, devfn);
  return function ? function->read_config(offset, width) & ones(width) : ones(width);
}

void PciHost::write_config(uint8_t bus, uint8_t devfn, uint32_t offset, uint32_t width, uint32_t value) {
  if (offset > ConfigSpace::kBytes - width) return;
  ServingLock lock(mutex_);
  PciFunction* function = find(bus, devfn);
  if (!function) return;
  function->write_config(offset, width, value);
  if (function->moves_ranges(offset)) follow();
}

// After any change of configuration: maps what is to be mapped and is not, the reverse before. Under the lock.
void PciHost::follow() {
  Windows windows{{layout_.memory32, layout_.memory64}, {layout_.io}};
  std::vector<Wanted> wanted;
  collect(root_, windows, wanted);
  if (!wanted.empty()) ground_.loop.call([&] { remap(wanted); });
}

// The BARs that are not where they should be.
void PciHost::collect(PciBus& bus, const Windows& windows, std::vector<Wanted>& wanted) const {
  for (PciFunction* function : bus.functions()) {
    if (!function) continue;
    for (uint32_t i = 0; i < PciFunction::kBars; ++i) {
      const Bar& bar = function->bar(i);
      if (!bar.bytes || !bar.ops.read) continue;
      std::optional<uint64_t> base = function->decoded_at(i);
      const auto& ranges = bar.kind == BarKind::Io ? windows.io : windows.memory;
      if (base && std::none_of(ranges.begin(), ranges.end(), [&](auto& each) { return each.holds(*base, bar.bytes); }))
        base.reset();
      if (base != bar.mapped_at) wanted.push_back({function, i, base});
    }
    if (PciBus* below = function->secondary()) {
      const ConfigSpace& c = function->config();
      Windows inner;
      const bool up = function->link_up();
      if (up && layout_.bridges_pass_all) {
        inner = windows;
      } else if (up) {
        if (c.get16(kCommand) & kMemoryDecode)
          inner.memory = clip(windows.memory, {memory_window(c), prefetch_window(c)});
        if (c.get16(kCommand) & kIoDecode) inner.io = clip(windows.io, {io_window(c)});
      }
      collect(*below, inner, wanted);
    }
  }
}

// [main] A range that another one has already stays unmapped until that one goes.
void PciHost::remap(const std::vector<Wanted>& wanted) {
  for (const Wanted& one : wanted) unmap(*one.function, one.index);
  for (const Wanted& one : wanted) {
    if (!one.base) continue;
    Bar& bar = one.function->bars_[one.index];
    AddressSpace& space = bar.kind == BarKind::Io ? ground_.ports : ground_.memory;
    Result<BusRegion*> claimed =
        space.claim(*one.base, bar.bytes, bar.flags, bar.ops, bar.opaque, one.function->owner());
    if (!claimed) continue;
    bar.region = *claimed;
    bar.mapped_at = one.base;
    one.function->bar_moved(one.index, one.base);
  }
}

void PciHost::unmap(PciFunction& function, uint32_t index) {
  Bar& bar = function.bars_[index];
  if (!bar.region) return;
  function.bar_moved(index, {});
  (bar.kind == BarKind::Io ? ground_.ports : ground_.memory).release(std::exchange(bar.region, nullptr));
  bar.mapped_at.reset();
}

// PCIe 5.0 §7.2.2: bus, device and function, register. An access of 8 bytes is two of 4.
uint64_t PciHost::ecam_read(void* self, uint64_t offset, uint32_t width) noexcept {
  auto& host = *static_cast<PciHost*>(self);
  if (width == 8) return ecam_read(self, offset, 4) | ecam_read(self, offset + 4, 4) << 32;
  return host.read_config(static_cast<uint8_t>(offset >> 20), static_cast<uint8_t>(offset >> 12), offset & 0xfff,
                          width);
}

void PciHost::ecam_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
  auto& host = *static_cast<PciHost*>(self);
  if (width == 8) {
    ecam_write(self, offset, 4, value & UINT32_MAX);
    return ecam_write(self, offset + 4, 4, value >> 32);
  }
  host.write_config(static_cast<uint8_t>(offset >> 20), static_cast<uint8_t>(offset >> 12), offset & 0xfff, width,
                    static_cast<uint32_t>(value));
}

// PCI 3.0 §3.2.2.3.2: four bytes at once to the address; data by any width.
uint64_t PciHost::port_read(void* self, uint64_t offset, uint32_t width) noexcept {
  auto& host = *static_cast<PciHost*>(self);
  if (offset < 4) {
    if (offset == 0 && width == 4) {
      ServingLock lock(host.mutex_);
      return host.address_;
    }
    const nacre_mmio_ops& other = host.layout_.other_ports;
    return other.read ? other.read(host.layout_.other_ports_opaque, offset, width) : ones(width);
  }
  uint32_t address;
  {
    ServingLock lock(host.mutex_);
    address = host.address_;
  }
  if (!(address >> 31) || width > 4) return ones(width);
  return host.read_config(static_cast<uint8_t>(address >> 16), static_cast<uint8_t>(address >> 8),
                          (address & 0xfc) | (offset & 3), width);
}

void PciHost::port_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
  auto& host = *static_cast<PciHost*>(self);
  if (offset < 4) {
    if (offset == 0 && width == 4) {
      ServingLock lock(host.mutex_);
      host.address_ = static_cast<uint32_t>(value) & 0x80fffffc;
      return;
    }
    const nacre_mmio_ops& other = host.layout_.other_ports;
    if (other.write) other.write(host.layout_.other_ports_opaque, offset, width, value);
    return;
  }
  uint32_t address;
  {
    ServingLock lock(host.mutex_);
    address = host.address_;
  }
  if (!(address >> 31) || width > 4) return;
  host.write_config(static_cast<uint8_t>(address >> 16), static_cast<uint8_t>(address >> 8),
                    (address & 0xfc) | (offset & 3), width, static_cast<uint32_t>(value));
}

}  // namespace nacre::pci
