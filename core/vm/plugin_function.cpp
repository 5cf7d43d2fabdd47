#include "core/vm/plugin_function.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/plugin/breadcrumb.hpp"

namespace nacre {
namespace {

using pci::BarKind;
using pci::ConfigSpace;

constexpr uint32_t kDeviceCapabilities = 4, kDeviceControl = 8;  // of the PCI Express capability
constexpr uint32_t kFunctionLevelReset = 1u << 28;               // PCIe 5.0 §7.5.3.3
constexpr uint8_t kInitiateReset = 1 << 7;                       // of the second byte of Device Control, §7.5.3.4

// The function whose callback this thread is in, with its configuration for itself.
thread_local const PluginFunction* inside = nullptr;

class Inside {
 public:
  explicit Inside(const PluginFunction* function) : before_(inside) { inside = function; }
  ~Inside() { inside = before_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const PluginFunction* before_;
};

// What answers where a plugin does not.
uint64_t read_nothing(void*, uint64_t, uint32_t) noexcept {
  return 0;
}
void write_nothing(void*, uint64_t, uint32_t, uint64_t) noexcept {}

// As much of a plugin's structure as both sides know.
template <typename T>
T known_part(const T& from) {
  T to{};
  std::memcpy(&to, &from, std::min<size_t>(from.size, sizeof to));
  return to;
}

Status check_flags(uint32_t flags, uint32_t known, const char* of) {
  const uint32_t unknown = flags & NACRE_MUST_UNDERSTAND & ~known;
  if (unknown) return fail("flag {:#x} of {} is unknown to this host, which must understand it.", unknown, of);
  return {};
}

pci::Identity identity_of(const nacre_pci_desc& desc) {
  return {desc.vendor_id, desc.device_id, desc.revision, desc.class_code, desc.subsystem_vendor_id, desc.subsystem_id};
}

}  // namespace

PluginFunction::PluginFunction(pci::PciHost& host, BarSlots& slots, Maker maker, const nacre_pci_desc& desc, void* self)
    : PciFunction(maker.name, identity_of(desc)),
      host_(host),
      slots_(slots),
      maker_(std::move(maker)),
      owner_("plugin '" + maker_.plugin + "' (" + maker_.instance + ")"),
      self_(self) {
  if (desc.ops) ops_ = known_part(*desc.ops);
}

Result<std::unique_ptr<PluginFunction>> PluginFunction::create(pci::PciHost& host, BarSlots& slots, Maker maker,
                                                               const nacre_pci_desc& given, void* self) {
  const nacre_pci_desc desc = known_part(given);
  if (Status known = check_flags(desc.flags, NACRE_PCI_EXPRESS, "the PCI function"); !known) return known.error();
  if (desc.vendor_id == 0xffff)
    return fail("vendor 0xffff says that no function is there (PCI 3.0 §6.1); give the function an identity.");
  if (desc.class_code >> 24) return fail("class code {:#x} has more than 24 bits.", desc.class_code);
  if (desc.interrupt_pin > 4)
    return fail("interrupt pin {} does not exist: 1 to 4 are INTA to INTD, 0 is none.", desc.interrupt_pin);
  auto function = std::unique_ptr<PluginFunction>(new PluginFunction(host, slots, std::move(maker), desc, self));
  if (desc.interrupt_pin) function->add_intx(desc.interrupt_pin);
  if (desc.flags & NACRE_PCI_EXPRESS) {
    ConfigSpace& config = function->config();
    function->express_ = function->add_express(0);
    const uint32_t at = function->express_ + kDeviceCapabilities;
    config.set32(at, config.get32(at) | kFunctionLevelReset);
  }
  return function;
}

Status PluginFunction::may_add() const {
  if (bus()) return fail("a PCI function is complete when realize() has returned; this is a defect of the plugin.");
  return {};
}

Status PluginFunction::add_plugin_bar(const nacre_pci_bar& given) {
  if (Status may = may_add(); !may) return may;
  const nacre_pci_bar bar = known_part(given);
  if (bar.kind < NACRE_PCI_BAR_MEMORY32 || bar.kind > NACRE_PCI_BAR_IO)
    return fail("BAR {} is of kind {}, which this host does not know.", bar.index, bar.kind);
  if (Status known = check_flags(bar.flags, NACRE_PCI_BAR_SERIALIZE | NACRE_PCI_BAR_PREFETCHABLE, "a BAR"); !known)
    return known;
  const BarKind kind = bar.kind == NACRE_PCI_BAR_IO         ? BarKind::Io
                       : bar.kind == NACRE_PCI_BAR_MEMORY64 ? BarKind::Memory64
                                                            : BarKind::Memory32;
  const bool prefetchable = bar.flags & NACRE_PCI_BAR_PREFETCHABLE;
  if (prefetchable && kind == BarKind::Io) return fail("BAR {} is of ports, which are never prefetchable.", bar.index);
  nacre_mmio_ops ops{};
  if (bar.ops) ops = known_part(*bar.ops);
  ops.size = sizeof ops;
  if (!ops.read) ops.read = read_nothing;
  if (!ops.write) ops.write = write_nothing;
  return add_bar(bar.index, kind, prefetchable, bar.length, ops, bar.opaque,
                 bar.flags & NACRE_PCI_BAR_SERIALIZE ? uint32_t{NACRE_MMIO_SERIALIZE} : 0);
}

Status PluginFunction::add_memory(const nacre_pci_memory& given) {
  if (Status may = may_add(); !may) return may;
  const nacre_pci_memory memory = known_part(given);
  if (Status known = check_flags(memory.flags, NACRE_PCI_MEMORY_READONLY, "memory behind a BAR"); !known) return known;
  if (memory.bar >= kBars || !bar(memory.bar).bytes || bar(memory.bar).kind == BarKind::Io ||
      (msix() && bar(memory.bar).opaque == msix()))
    return fail("BAR {} is none of memory that this function has made, so that there can be none behind it.",
                memory.bar);
  if (memory.offset > bar(memory.bar).bytes || memory.length > bar(memory.bar).bytes - memory.offset)
    return fail("{:#x} bytes of memory at {:#x} are not inside BAR {}, which has {:#x}.", memory.length, memory.offset,
                memory.bar, bar(memory.bar).bytes);
  for (const auto& other : memories_)
    if (other->what().bar == memory.bar && memory.offset < other->what().offset + other->what().length &&
        other->what().offset < memory.offset + memory.length)
      return fail("memory at {:#x} of BAR {} overlaps what is at {:#x}.", memory.offset, memory.bar,
                  other->what().offset);
  auto made = BarMemory::create(slots_, memory);
  if (!made) return made.error();
  memories_.push_back(std::move(*made));
  return {};
}

Result<int> PluginFunction::add_event(uint32_t index, uint64_t offset, uint32_t width, std::optional<uint64_t> match) {
  if (Status may = may_add(); !may) return may.error();
  if (index >= kBars || !bar(index).bytes || (msix() && bar(index).opaque == msix()))
    return fail("BAR {} is none that this function has made, so that no event can be on it.", index);
  if (width > 8 || (width & (width - 1)) || (width == 0 && match))
    return fail("an event of {} bytes cannot be: the width is 1, 2, 4, 8, or 0 for any, which has no value to match.",
                width);
  if (offset >= bar(index).bytes || std::max(width, 1u) > bar(index).bytes - offset)
    return fail("an event at {:#x} is not inside BAR {}, which has {:#x} bytes.", offset, index, bar(index).bytes);
  auto event = std::make_unique<Event>();
  event->bar = index;
  event->offset = offset;
  event->event.pio = bar(index).kind == BarKind::Io;
  event->event.length = width;
  event->event.match = match;
  event->fd = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event->fd) return fail("no eventfd for a BAR: {}.", strerror(errno));
  events_.push_back(std::move(event));
  return events_.back()->fd.get();
}

Result<uint32_t> PluginFunction::add_plugin_capability(const nacre_pci_capability& given) {
  if (Status may = may_add(); !may) return may.error();
  const nacre_pci_capability wanted = known_part(given);
  const char* what = wanted.kind == NACRE_PCI_REGISTERS ? "registers" : "a capability";
  const uint32_t header = wanted.kind == NACRE_PCI_CAPABILITY ? 2 : wanted.kind == NACRE_PCI_REGISTERS ? 0 : 4;
  if (wanted.kind < NACRE_PCI_CAPABILITY || wanted.kind > NACRE_PCI_REGISTERS)
    return fail("a capability is of kind {}, which this host does not know.", wanted.kind);
  const uint32_t most_id = wanted.kind == NACRE_PCI_CAPABILITY ? 0xff : 0xffff;
  if (header && (wanted.id > most_id || wanted.version > 15))
    return fail("capability {:#x} of version {} cannot be: an id has {} bits, a version 4.", wanted.id, wanted.version,
                header == 2 ? 8 : 16);
  if (wanted.length < header + 1 || wanted.length > ConfigSpace::kBytes || wanted.offset % 4)
    return fail("{} of {:#x} bytes at {:#x} cannot be in the configuration space.", what, wanted.length, wanted.offset);
  uint32_t at = wanted.offset;
  if (wanted.kind == NACRE_PCI_CAPABILITY)
    at = config().add_capability(static_cast<uint8_t>(wanted.id), wanted.length, wanted.offset);
  else if (wanted.kind == NACRE_PCI_EXTENDED_CAPABILITY)
    at = config().add_extended_capability(static_cast<uint16_t>(wanted.id), static_cast<uint8_t>(wanted.version),
                                          wanted.length, wanted.offset);
  else if (!config().take(at, wanted.length))
    at = 0;
  if (!at)
    return fail("{} of {:#x} bytes at {:#x}: the configuration space has no room there, or another one is in its way.",
                what, wanted.length, wanted.offset);
  for (uint32_t i = header; i < wanted.length; ++i) {
    own_.set(at + i);
    if (wanted.content) config().set8(at + i, wanted.content[i]);
    if (wanted.writable) config().writable(at + i, 1, wanted.writable[i]);
    if (wanted.clears) config().write_1_clears(at + i, 1, wanted.clears[i]);
  }
  return at;
}

Status PluginFunction::add_plugin_msix(uint32_t bar, uint32_t vectors) {
  if (Status may = may_add(); !may) return may;
  if (msix()) return fail("the function has MSI-X already.");
  if (vectors < 1 || vectors > pci::Msix::kMostVectors)
    return fail("MSI-X with {} vectors cannot be: it has 1 to {}.", vectors, pci::Msix::kMostVectors);
  return add_msix(vectors, bar, host_.messages());
}

Result<int> PluginFunction::vector_fd(uint32_t vector) {
  if (!msix() || vector >= msix()->vectors())
    return fail("there is no vector {}; the function has {}.", vector, msix() ? msix()->vectors() : 0);
  auto& fd = vector_fds_[vector];
  if (!fd) {
    auto made = pci::VectorFd::create(*msix());
    if (!made) return made.error();
    fd = std::move(*made);
    fd->follow(vector);
  }
  return fd->fd();
}

bool PluginFunction::read_bytes(uint32_t offset, void* to, uint32_t length) {
  if (offset > ConfigSpace::kBytes || length > ConfigSpace::kBytes - offset) return false;
  auto copy = [&] { std::memcpy(to, config().bytes() + offset, length); };
  inside == this ? copy() : host_.change(copy);
  return true;
}

bool PluginFunction::write_bytes(uint32_t offset, const void* from, uint32_t length) {
  if (offset > ConfigSpace::kBytes || length > ConfigSpace::kBytes - offset) return false;
  for (uint32_t i = 0; i < length; ++i)
    if (!own_[offset + i]) return false;
  auto copy = [&] {
    for (uint32_t i = 0; i < length; ++i) config().set8(offset + i, static_cast<const uint8_t*>(from)[i]);
  };
  inside == this ? copy() : host_.change(copy);
  return true;
}

bool PluginFunction::starts_reset(uint32_t offset, uint32_t width, uint32_t value) const {
  const uint32_t at = express_ + kDeviceControl + 1;
  return express_ && offset <= at && at < offset + width && (value >> (8 * (at - offset)) & kInitiateReset);
}

// Of the header, and what may begin a reset, which moves the BARs.
bool PluginFunction::moves_ranges(uint32_t offset) const {
  const uint32_t at = express_ + kDeviceControl + 1;
  return PciFunction::moves_ranges(offset) || (express_ && offset <= at && at < offset + 4);
}

void PluginFunction::write_config(uint32_t offset, uint32_t width, uint32_t value) {
  if (starts_reset(offset, width, value)) return reset();
  PciFunction::write_config(offset, width, value);
  note_state();
  tell(offset, width);
}

// Under the host's lock. The device's loop has the configuration for itself meanwhile.
void PluginFunction::reset() {
  if (maker_.reset)
    maker_.loop->call([&] {
      Inside alone(this);
      Breadcrumb crumb(maker_.plugin, maker_.instance, "reset");
      maker_.reset(*maker_.device);
    });
  PciFunction::reset();
  note_state();
  tell(0, ConfigSpace::kBytes);
}

void PluginFunction::note_state() {
  const uint16_t command = config().get16(pci::kCommand);
  uint32_t state = 0;
  if (command & pci::kBusMaster) state |= NACRE_PCI_BUS_MASTER;
  if (command & pci::kMemoryDecode) state |= NACRE_PCI_MEMORY_ON;
  if (command & pci::kIoDecode) state |= NACRE_PCI_IO_ON;
  if (msix() && msix()->enabled()) state |= NACRE_PCI_MSIX_ON;
  state_.store(state, std::memory_order_release);
}

void PluginFunction::tell(uint32_t offset, uint32_t width) {
  if (!ops_.config_written) return;
  Inside alone(this);
  Breadcrumb crumb(maker_.plugin, maker_.instance, "config_written");
  ops_.config_written(self_, config().bytes(), offset, width);
}

void PluginFunction::bar_moved(uint32_t index, std::optional<uint64_t> base) {
  for (auto& memory : memories_)
    if (memory->what().bar == index) memory->follow(base);
  for (auto& event : events_) {
    if (event->bar != index || !host_.vm()) continue;
    if (event->tied) (void)host_.vm()->remove_ioeventfd(event->event, event->fd.get());
    event->tied = false;
    if (!base) continue;
    event->event.address = *base + event->offset;
    Status tied = host_.vm()->add_ioeventfd(event->event, event->fd.get());
    event->tied = bool(tied);
    // The guest's writes come to the BAR's write() then.
    if (!tied) untied_.warn("pci", "{}: {}", name(), tied.error().message);
  }
}

}  // namespace nacre
