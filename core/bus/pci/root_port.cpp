#include "core/bus/pci/root_port.hpp"

#include "core/bus/pci/host.hpp"
#include "core/loop/clock.hpp"

namespace nacre::pci {
namespace {

constexpr uint32_t kBridgeClass = 0x060400;
constexpr uint8_t kRootPortType = 4;
constexpr uint32_t kMsixBar = 0;

// Slot Capabilities: button, power controller, both indicators, surprise, hot-plug; the slot's number from bit 19 up.
constexpr uint32_t kSlotCapabilities = 1 | 2 | 8 | 16 | 32 | 64;
constexpr uint32_t kSlotNumberShift = 19;

// Slot Control.
enum : uint16_t {
  kButtonEnable = 1,
  kPresenceEnable = 8,
  kCompletedEnable = 16,
  kHotplugEnable = 32,
  kAttentionOff = 3 << 6,
  kPowerIndicator = 3 << 8,
  kPowerIndicatorOn = 1 << 8,
  kPowerIndicatorBlinks = 2 << 8,
  kPowerIndicatorOff = 3 << 8,
  kPowerOff = 1 << 10,
  kLinkEnable = 1 << 12,
};
constexpr uint16_t kControlWritable = 0x17ff;

// Slot Status.
enum : uint16_t { kButton = 1, kPresenceChanged = 8, kCompleted = 16, kPresent = 64, kLinkChanged = 256 };
constexpr uint16_t kStatusEvents = 0x11f;

// A guest that has switched a slot off looks once more whether a card is in it, as Linux does, and may find one that
// comes meanwhile twice: by that look and by the events, when it takes it for gone. Such a card is shown so much later: a
// vCPU may have to wait for its turn before it looks, and 20 ms have been too few on a busy host.
constexpr uint64_t kSettleNs = 100'000'000;

constexpr uint16_t kLinkActive = 1 << 13;  // Link Status
constexpr uint16_t kBusReset = 1 << 6;     // Bridge Control

uint64_t read_nothing(void*, uint64_t, uint32_t) noexcept {
  return 0;
}
void write_nothing(void*, uint64_t, uint32_t, uint64_t) noexcept {}

}  // namespace

RootPort::RootPort(const std::string& id, std::string name, const Options& options, PciHost& host)
    : PciFunction(std::move(name), {options.vendor, options.device, options.revision, kBridgeClass}, true),
      host_(host),
      options_(options),
      below_(id, this),
      settle_(host.loop().timer([this] { settled(); })) {}

RootPort::~RootPort() {
  host_.loop().destroy(settle_);
  host_.loop().drop(this);
  clear_remains();
}

Result<std::unique_ptr<RootPort>> RootPort::create(const std::string& id, std::string name, const Options& options,
                                                   PciHost& host) {
  auto port = std::unique_ptr<RootPort>(new RootPort(id, std::move(name), options, host));
  if (Status built = port->build(); !built) return built.error();
  return port;
}

Status RootPort::build() {
  ConfigSpace& c = config();
  // Bridge 1.2 §3.2.5: numbers, windows; I/O by 16 bits, prefetchable memory by 64.
  c.writable(kPrimaryBus, 4, 0x00ffffff);
  c.writable(kIoBase, 2, 0xf0f0);
  c.write_1_clears(kSecondaryStatus, 2, 0xf900);
  c.writable(kMemoryBase, 4, 0xfff0fff0);
  c.set32(kPrefetchBase, 0x00010001);
  c.writable(kPrefetchBase, 4, 0xfff0fff0);
  c.writable(kPrefetchBaseUpper, 4, UINT32_MAX);
  c.writable(kPrefetchLimitUpper, 4, UINT32_MAX);
  c.writable(kBridgeControl, 2, kBusReset | 3);
  if (Status added = add_msix(1, kMsixBar, host_.messages()); !added) return added;
  add_intx();
  express_ = add_express(kRootPortType);
  if (!express_) return fail("{} has no room for another capability.", name());
  c.set_bits16(express_ + 2, 1 << 8, true);  // a slot is there
  // 16 GT/s, x32, tells of an active link, the port's number (§7.5.3.6).
  c.set32(express_ + 0x0c, 4 | 32 << 4 | 1 << 20 | uint32_t{options_.port} << 24);
  c.set32(express_ + 0x14, kSlotCapabilities);
  c.set16(slot_control(), kAttentionOff | kPowerIndicatorOff | kPowerOff);
  c.writable(slot_control(), 2, kControlWritable);
  c.write_1_clears(slot_status(), 2, kStatusEvents);
  // ARI forwarding can be turned on (§7.5.3.15, §7.5.3.16); every speed up to 16 GT/s (§7.5.3.18).
  c.set32(express_ + 0x24, 1 << 5);
  c.writable(express_ + 0x28, 2, 1 << 5);
  c.set32(express_ + 0x2c, 0xf << 1);
  c.set16(express_ + 0x30, 4);
  return {};
}

void RootPort::placed(uint8_t devfn) {
  config().set32(express_ + 0x14, kSlotCapabilities | uint32_t{devfn} >> 3 << kSlotNumberShift);
}

bool RootPort::is_off(uint16_t control) const {
  return control & kPowerOff && (control & kPowerIndicator) == kPowerIndicatorOff;
}

bool RootPort::busy() {
  return (config().get16(slot_control()) & kPowerIndicator) == kPowerIndicatorBlinks;
}

void RootPort::show_presence(bool present) {
  present_ = present;
  config().set_bits16(slot_status(), kPresent, present);
  config().set_bits16(link_status(), kLinkActive, present);
}

// §6.7.3.3: the link is up while a card is there, so that both change together.
void RootPort::change_presence(bool present) {
  show_presence(present);
  asked_ = false;
  config().set_bits16(slot_status(), kPresenceChanged | kLinkChanged, true);
}

void RootPort::child_came(bool hot) {
  if (!hot) {
    show_presence(true);
    // The guest finds it at boot, with its power on.
    config().set_bits16(slot_control(), kPowerOff | kPowerIndicator, false);
    config().set_bits16(slot_control(), kPowerIndicatorOn, true);
    return;
  }
  waiting_ = true;
  show_waiting();
}

// Of time that only moves by a test's word no guest needs any.
uint64_t RootPort::settling_ns() const {
  const uint64_t now = monotonic_ns();
  return off_at_ && !is_time_virtual() && now < off_at_ + kSettleNs ? off_at_ + kSettleNs - now : 0;
}

void RootPort::show_waiting() {
  if (!waiting_ || lost_) return;
  if (const uint64_t left = settling_ns()) return host_.loop().arm(settle_, left);
  waiting_ = false;
  change_presence(true);
  config().set_bits16(slot_status(), kButton, true);
  signal();
}

void RootPort::settled() {
  host_.change([this] { show_waiting(); });
}

void RootPort::child_went() {
  surprise();
}

void RootPort::surprise() {
  waiting_ = false;
  if (!present_) return;
  for (const PciFunction* function : below_.functions())
    for (uint32_t i = 0; function && i < kBars; ++i)
      if (const Bar& bar = function->bar(i); bar.mapped_at && bar.kind != BarKind::Io)
        gone_.push_back({*bar.mapped_at, bar.bytes});
  lost_ = !is_off(config().get16(slot_control()));
  change_presence(false);
  signal();
}

void RootPort::leave_remains() {
  const nacre_mmio_ops nothing{sizeof nothing, 0, read_nothing, write_nothing};
  for (const Range& range : std::exchange(gone_, {})) {
    if (!options_.memory) continue;
    auto claimed = options_.memory->claim(range.base, range.length, 0, nothing, this, name());
    if (claimed) remains_.push_back(*claimed);
  }
}

void RootPort::clear_remains() {
  gone_.clear();
  for (BusRegion* region : std::exchange(remains_, {})) options_.memory->release(region);
}

Status RootPort::may_plug() {
  if (busy()) return fail("Guest is still on the fly of another (un)plugging");
  return {};
}

Result<RootPort::Asked> RootPort::request_unplug() {
  const uint16_t control = config().get16(slot_control());
  if (busy()) return fail("Guest is still on the fly of another (un)plugging");
  if (is_off(control) || waiting_) return Asked::Off;
  if (asked_)
    return fail(
        "its removal is pending: the guest has been asked to let go of it and has not answered yet. device_del with "
        "\"force\": true takes it away at once, and so does system_reset.");
  asked_ = true;
  lost_ = false;
  config().set_bits16(slot_status(), options_.fast_unplug ? kButton | kPresenceChanged : kButton, true);
  signal();
  return Asked::Asked;
}

void RootPort::write_config(uint32_t offset, uint32_t width, uint32_t value) {
  const uint16_t control = config().get16(slot_control());
  const uint16_t bridge = config().get16(kBridgeControl);
  PciFunction::write_config(offset, width, value);
  // Bridge 1.2 §3.2.5.17: setting the bit resets what is below.
  if (!(bridge & kBusReset) && config().get16(kBridgeControl) & kBusReset) below_.reset();
  auto touches = [&](uint32_t at) { return offset < at + 2 && offset + width > at; };
  const bool moves_window = offset < kBridgeControl + 2 && offset + width > kPrimaryBus;
  if (!remains_.empty() && (moves_window || (touches(slot_control()) && is_off(config().get16(slot_control())))))
    host_.loop().call([this] { clear_remains(); });
  if (touches(slot_control())) {
    const uint16_t now = config().get16(slot_control());
    const bool goes_off = is_off(now) && !is_off(control);
    if (goes_off) off_at_ = monotonic_ns();
    if (goes_off && std::exchange(lost_, false)) {  // that was for the card which is gone
      if (waiting_) host_.loop().post([this] { settled(); }, this);
    } else if (goes_off && present_) {
      change_presence(false);
      if (off_) off_();
    } else if (!(now & kPowerOff) && (now & kPowerIndicator) == kPowerIndicatorOn) {
      asked_ = false;  // the guest keeps it
    }
    config().set_bits16(slot_status(), kCompleted, true);
  }
  if (touches(slot_control()) || touches(slot_status()) || touches(kCommand) ||
      touches(config().find_capability(0x11) + 2))
    signal();
}

// §6.7.3.4: a message when the first enabled event comes; the line for as long as one is there.
void RootPort::signal() {
  const uint16_t control = config().get16(slot_control()), status = config().get16(slot_status());
  const bool event =
      (control & kButtonEnable && status & kButton) || (control & kPresenceEnable && status & kPresenceChanged) ||
      (control & kCompletedEnable && status & kCompleted) || (control & kLinkEnable && status & kLinkChanged);
  const bool now = event && control & kHotplugEnable;
  if (now && !signal_) msix()->notify(0);
  set_intx(now);
  signal_ = now;
}

void RootPort::reset() {
  const bool removed = asked_ && present_;
  PciFunction::reset();
  clear_remains();
  signal_ = false;
  asked_ = false;
  lost_ = false;
  waiting_ = false;
  off_at_ = 0;
  bool occupied = false;
  for (PciFunction* function : below_.functions()) occupied |= function != nullptr;
  // The next boot finds the slot empty when its removal was asked for.
  show_presence(occupied && !removed);
  if (present_) {
    config().set_bits16(slot_control(), kPowerOff | kPowerIndicator, false);
    config().set_bits16(slot_control(), kPowerIndicatorOn, true);
  }
  if (removed && off_) off_();
}

}  // namespace nacre::pci
