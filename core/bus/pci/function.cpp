#include "core/bus/pci/function.hpp"

#include <bit>

namespace nacre::pci {
namespace {

constexpr uint8_t kExpressId = 0x10;
// What the guest may write of the command register: decoding, mastering, parity and SERR# reports, Interrupt Disable.
// Decoding also of a space in which the function has no range (PCI 3.0 §6.2.2 leaves that open): EDK II takes a bridge
// of the chipset for one only where both bits can be set, and StratoVirt's tests set both on every function.
constexpr uint32_t kCommandBits = kIoDecode | kMemoryDecode | kBusMaster | 1 << 6 | 1 << 8 | kIntxDisable;
constexpr uint32_t kMultifunction = 0x80;  // of the header type

uint32_t bar_offset(uint32_t index) {
  return kBar0 + 4 * index;
}

}  // namespace

PciFunction::PciFunction(std::string name, const Identity& identity, bool bridge)
    : name_(std::move(name)), bridge_(bridge) {
  config_.set16(kVendorId, identity.vendor);
  config_.set16(kDeviceId, identity.device);
  config_.set8(kRevision, identity.revision);
  for (uint32_t i = 0; i < 3; ++i) config_.set8(kClassCode + i, static_cast<uint8_t>(identity.class_code >> (8 * i)));
  config_.set8(kHeaderType, bridge ? 1 : 0);
  if (!bridge) {
    config_.set16(kSubsystemVendorId, identity.subsystem_vendor);
    config_.set16(kSubsystemId, identity.subsystem);
  }
  // §6.2.2 and §6.2.3: the error bits of Status are cleared by writing 1.
  config_.writable(kCommand, 2, kCommandBits);
  config_.write_1_clears(kStatus, 2, 0xf900);
  config_.writable(0x0c, 1, 0xff);  // cache line size: any value, without effect (PCIe 5.0 §7.5.1.1.7)
  config_.writable(kInterruptLine, 1, 0xff);
}

PciFunction::~PciFunction() {
  wire(nullptr, 0);
}

Status PciFunction::add_bar(uint32_t index, BarKind kind, bool prefetchable, uint64_t bytes, const nacre_mmio_ops& ops,
                            void* opaque, uint32_t flags) {
  const uint32_t bars = bridge_ ? 2 : kBars;
  const bool wide = kind == BarKind::Memory64;
  if (index >= bars || (wide && index + 1 >= bars))
    return fail("there is no room for BAR {}: BARs are numbered 0 to {}, and one of 64 bits takes two.", index,
                bars - 1);
  const uint64_t least = kind == BarKind::Io ? 4 : 16;
  const uint64_t most = kind == BarKind::Io ? 256 : wide ? uint64_t{1} << 62 : uint64_t{1} << 31;
  if (!std::has_single_bit(bytes) || bytes < least || bytes > most)
    return fail("BAR {} of {:#x} bytes cannot be: its length is a power of two from {:#x} to {:#x}.", index, bytes,
                least, most);
  auto taken = [&](uint32_t at) {
    return bars_[at].bytes || (at && bars_[at - 1].bytes && bars_[at - 1].kind == BarKind::Memory64);
  };
  if (taken(index) || (wide && taken(index + 1)))
    return fail("BAR {} is taken already, by itself or by one of 64 bits.", index);
  bars_[index].kind = kind;
  bars_[index].bytes = bytes;
  bars_[index].ops = ops;
  bars_[index].opaque = opaque;
  bars_[index].flags = flags;
  // §6.2.5.1: the low bits say what it is; those below its size read as zero, by which its size is found.
  const uint32_t what = (kind == BarKind::Io ? 1u : 0u) | (wide ? 4u : 0u) | (prefetchable ? 8u : 0u);
  const uint64_t mask = ~(bytes - 1);
  config_.set32(bar_offset(index), what);
  config_.writable(bar_offset(index), 4, static_cast<uint32_t>(mask) & (kind == BarKind::Io ? ~3u : ~15u));
  if (wide) config_.writable(bar_offset(index + 1), 4, static_cast<uint32_t>(mask >> 32));
  return {};
}

Status PciFunction::add_msix(uint32_t vectors, uint32_t bar, MessageSender* sender) {
  auto table = std::make_unique<Msix>(vectors, sender);
  static constexpr auto read = [](void* self, uint64_t offset, uint32_t width) noexcept -> uint64_t {
    auto& msix = *static_cast<Msix*>(self);
    const auto at = static_cast<uint32_t>(offset);
    return at < msix.pending_offset() ? msix.read_table(at, width)
                                      : msix.read_pending(at - msix.pending_offset(), width);
  };
  static constexpr auto write = [](void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    static_cast<Msix*>(self)->write_table(static_cast<uint32_t>(offset), width, value);
  };
  const nacre_mmio_ops ops{sizeof ops, 0, read, write};
  if (Status added = add_bar(bar, BarKind::Memory32, false, table->bar_bytes(), ops, table.get()); !added) return added;
  msix_ = std::move(table);
  if (!msix_->add_capability(config_, bar, 0, msix_->pending_offset()))
    return fail("the configuration space has no room for the capability of MSI-X.");
  return {};
}

void PciFunction::add_intx(uint8_t pin) {
  config_.set8(kInterruptPin, pin);
}

uint32_t PciFunction::add_express(uint8_t type, uint32_t bytes) {
  const uint32_t at = config_.add_capability(kExpressId, bytes);
  if (!at) return 0;
  config_.set16(at + 2, static_cast<uint16_t>(2 | type << 4));
  // Device Capabilities: payloads of 128 bytes, role-based error reporting (§7.5.3.3).
  config_.set32(at + 4, 1u << 15);
  // Device Control: the reports, relaxed ordering, payload, no snoop, read request size: kept, without effect
  // (§7.5.3.4); relaxed ordering, no snoop and requests of 512 bytes at first.
  config_.set16(at + 8, 1 << 4 | 1 << 11 | 2 << 12);
  config_.writable(at + 8, 2, 0x78ff);
  config_.write_1_clears(at + 10, 2, 0x000f);
  // Link: 2.5 GT/s, x1, where nothing else is said (§7.5.3.6, §7.5.3.8).
  config_.set32(at + 0x0c, 1 | 1 << 4);
  config_.set16(at + 0x12, 1 | 1 << 4);
  config_.writable(at + 0x10, 2, 0x01c3);
  return at;
}

void PciFunction::set_multifunction(bool on) {
  const uint8_t type = config_.get8(kHeaderType) & ~kMultifunction;
  config_.set8(kHeaderType, static_cast<uint8_t>(type | (on ? kMultifunction : 0)));
}

uint32_t PciFunction::read_config(uint32_t offset, uint32_t width) {
  show_intx();
  return config_.read(offset, width);
}

void PciFunction::write_config(uint32_t offset, uint32_t width, uint32_t value) {
  config_.write(offset, width, value);
  if (msix_) msix_->follow(config_);
  follow_intx();
}

// Interrupt Status tells of the signal whether or not it is let out (§6.2.3).
void PciFunction::show_intx() {
  MutexLock lock(intx_mutex_);
  config_.set_bits16(kStatus, kIntxStatus, asserted_);
}

// The level on the line follows the device's and what the guest allows.
void PciFunction::settle_intx() {
  const bool level = asserted_ && !intx_off_ && lines_;
  if (level != raised_ && lines_) level ? lines_->raise(line_) : lines_->lower(line_);
  raised_ = level;
}

void PciFunction::follow_intx() {
  MutexLock lock(intx_mutex_);
  intx_off_ = config_.get16(kCommand) & kIntxDisable || (msix_ && msix_->enabled());
  settle_intx();
}

void PciFunction::set_intx(bool level) {
  MutexLock lock(intx_mutex_);
  asserted_ = level;
  settle_intx();
}

void PciFunction::wire(SharedLines* lines, uint32_t line) {
  MutexLock lock(intx_mutex_);
  if (raised_) lines_->lower(line_);
  raised_ = false;
  lines_ = lines;
  line_ = line;
  settle_intx();
}

void PciFunction::reset() {
  set_intx(false);
  config_.restore();
  if (msix_) msix_->reset();
  follow_intx();
}

std::optional<uint64_t> PciFunction::decoded_at(uint32_t index) const {
  const Bar& bar = bars_[index];
  const uint16_t decode = bar.kind == BarKind::Io ? kIoDecode : kMemoryDecode;
  if (!bar.bytes || !(config_.get16(kCommand) & decode)) return {};
  uint64_t address = config_.get32(bar_offset(index)) & (bar.kind == BarKind::Io ? ~3u : ~15u);
  if (bar.kind == BarKind::Memory64) address |= uint64_t{config_.get32(bar_offset(index + 1))} << 32;
  if (address == 0) return {};  // not assigned yet
  return address;
}

}  // namespace nacre::pci
