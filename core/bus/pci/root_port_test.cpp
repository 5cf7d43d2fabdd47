#include "core/bus/pci/root_port.hpp"

#include "core/bus/pci/test_pci.hpp"

namespace nacre::pci {
namespace {

constexpr uint32_t kPort = 2 << 3;
constexpr Identity kDisk{0x1af4, 0x1042, 1, 0x010000};

enum : uint16_t { kButton = 1, kPresenceChanged = 8, kCompleted = 16, kPresent = 64, kLinkChanged = 256 };
enum : uint16_t { kPowerOn = 0, kPowerOff = 1 << 10, kLit = 1 << 8, kBlinking = 2 << 8, kDark = 3 << 8 };
constexpr uint16_t kAllEvents = 1 | 16 | 32 | 1 << 12;  // button, command completed, hot-plug, link: as pciehp does

// What the guest's driver does with a port, seen from the registers.
class RootPortTest : public PciTest {
 protected:
  RootPortTest() : disk_("device 'd'", kDisk) { make({}); }
  ~RootPortTest() override {
    if (disk_.bus()) host_->unplug(disk_);
    if (port_->bus()) host_->unplug(*port_);
  }

  void make(RootPort::Options options) {
    if (port_) host_->unplug(*port_);
    options.vendor = 0x1b36;
    options.device = 0xc;
    options.port = 7;
    port_ = std::move(*RootPort::create("pcie.1", "the port", options, *host_));
    port_->on_power_off([this] { ++offs_; });
    host_->plug(host_->root(), kPort, *port_);
    express_ = port_->config().find_capability(0x10);
    boot();
  }
  // Bus numbers and interrupts, as a kernel sets them.
  void boot() {
    write(0, kPort, kPrimaryBus, 4, 0x010100);
    write(0, kPort, kCommand, 2, kMemoryDecode | kBusMaster);
    const uint32_t msix = port_->config().find_capability(0x11);
    write(0, kPort, msix + 2, 2, 1 << 15);
    port_->msix()->write_table(0, 8, 0xfee00000);
    port_->msix()->write_table(8, 8, 0x30);
  }
  uint16_t status() { return static_cast<uint16_t>(read(0, kPort, express_ + 0x1a, 2)); }
  uint16_t control() { return static_cast<uint16_t>(read(0, kPort, express_ + 0x18, 2)); }
  bool link() { return read(0, kPort, express_ + 0x12, 2) & 1 << 13; }
  void set_control(uint16_t value) { write(0, kPort, express_ + 0x18, 2, value); }
  void clear(uint16_t bits) { write(0, kPort, express_ + 0x1a, 2, bits); }
  // Writes the command, waits until it is completed.
  void command(uint16_t value) {
    set_control(value | kAllEvents | 3 << 6);
    EXPECT_TRUE(status() & kCompleted);
    clear(kCompleted);
  }
  size_t messages() { return std::exchange(listener_.sent, {}).size(); }
  void enumerate() {
    EXPECT_TRUE(link());
    EXPECT_EQ(read(1, 0, 0, 4), 0x10421af4u);
  }
  // Waits until a card that came just after the power went off is shown.
  void settle() {
    Timer* timer = loop_->timer([this] { loop_->stop(); });
    loop_->arm(timer, 120'000'000);
    loop_->run();
    loop_->destroy(timer);
  }
  auto ask() {
    return host_->change([&] { return port_->request_unplug(); });
  }

  std::unique_ptr<RootPort> port_;
  PciFunction disk_;
  uint32_t express_ = 0;
  int offs_ = 0;
};

TEST_F(RootPortTest, DescribesItself) {
  EXPECT_EQ(read(0, kPort, 0, 4), 0x000c1b36u);
  EXPECT_EQ(read(0, kPort, kHeaderType, 1), 1u);
  EXPECT_EQ(read(0, kPort, kClassCode, 1) | read(0, kPort, kClassCode + 1, 2) << 8, 0x060400u);
  EXPECT_EQ(read(0, kPort, express_ + 2, 2), 0x142u);  // version 2, root port, a slot
  EXPECT_EQ(read(0, kPort, express_ + 0x0c, 4), 0x07100204u);
  EXPECT_EQ(read(0, kPort, express_ + 0x14, 4), 0x7bu | 2 << 19);
  EXPECT_EQ(read(0, kPort, express_ + 0x24, 4), 0x20u);
  EXPECT_EQ(control(), kPowerOff | kDark | 3 << 6);
  EXPECT_EQ(status(), 0u);
  EXPECT_FALSE(link());
}

TEST_F(RootPortTest, FindsAtBootWhatIsThereAtBoot) {
  host_->plug(*port_->secondary(), 0, disk_);
  EXPECT_EQ(status(), kPresent);
  EXPECT_EQ(control() & 0x700, kPowerOn | kLit);
  enumerate();
  host_->reset();
  EXPECT_EQ(status(), kPresent);
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);  // no bus number any more
  boot();
  enumerate();
}

TEST_F(RootPortTest, PlugsAndUnplugs) {
  command(kPowerOff | kDark);
  EXPECT_EQ(messages(), 1u);  // for the command
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_EQ(messages(), 1u);
  EXPECT_EQ(status(), kPresent | kPresenceChanged | kLinkChanged | kButton);
  clear(kPresenceChanged | kLinkChanged | kButton);
  command(kPowerOn | kBlinking);
  EXPECT_FALSE(host_->change([&] { return port_->may_plug(); }));
  enumerate();
  command(kPowerOn | kLit);
  EXPECT_EQ(offs_, 0);
  messages();
  // And away.
  ASSERT_EQ(*ask(), RootPort::Asked::Asked);
  EXPECT_EQ(messages(), 1u);
  EXPECT_EQ(status(), kPresent | kButton);
  EXPECT_TRUE(link());  // nothing has changed yet
  clear(kButton);
  command(kPowerOn | kBlinking);
  auto again = ask();
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, "Guest is still on the fly of another (un)plugging");
  command(kPowerOff | kBlinking);
  EXPECT_EQ(offs_, 0);
  EXPECT_EQ(read(1, 0, 0, 4), 0x10421af4u);
  set_control(kPowerOff | kDark | kAllEvents);
  EXPECT_EQ(offs_, 1);
  EXPECT_EQ(status(), kPresenceChanged | kLinkChanged | kCompleted);
  EXPECT_FALSE(link());
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);  // gone at once
  set_control(kPowerOff | kDark | kAllEvents);
  EXPECT_EQ(offs_, 1);
  host_->unplug(disk_);
  clear(0x11f);
  EXPECT_EQ(status(), 0u);
  // The next is shown when the guest is done with this one.
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_EQ(status(), 0u);
  EXPECT_FALSE(link());
  settle();
  EXPECT_EQ(status(), kPresent | kPresenceChanged | kLinkChanged | kButton);
}

TEST_F(RootPortTest, AGuestThatThinksAgain) {
  host_->plug(*port_->secondary(), 0, disk_);
  ASSERT_TRUE(ask());
  clear(kButton);
  command(kPowerOn | kBlinking);
  EXPECT_TRUE(link());
  command(kPowerOn | kLit);
  EXPECT_TRUE(link());
  EXPECT_EQ(status(), kPresent);
  enumerate();
  // It has answered: a reset takes nothing away, and it can be asked again.
  ASSERT_TRUE(ask());
  set_control(kPowerOn | kLit | kAllEvents);
  ASSERT_TRUE(ask());
  set_control(kPowerOn | kLit | kAllEvents);
  host_->reset();
  EXPECT_EQ(status(), kPresent);
  EXPECT_EQ(offs_, 0);
}

TEST_F(RootPortTest, AGuestThatNeverAnswers) {
  host_->plug(*port_->secondary(), 0, disk_);
  ASSERT_TRUE(ask());
  // Whether or not it has seen the button.
  for (bool seen : {false, true}) {
    if (seen) clear(kButton);
    auto again = ask();
    ASSERT_FALSE(again);
    EXPECT_NE(again.error().message.find("its removal is pending"), std::string::npos);
    EXPECT_EQ(status() & kButton, seen ? 0 : kButton);
  }
  EXPECT_EQ(offs_, 0);
  // A reset takes the device for it.
  host_->reset();
  EXPECT_EQ(offs_, 1);
  EXPECT_EQ(status(), 0u);
  host_->unplug(disk_);
  EXPECT_EQ(control() & 0x700, kPowerOff | kDark);
}

TEST_F(RootPortTest, FastUnplugShowsAPresenceChange) {
  make({.fast_unplug = true});
  host_->plug(*port_->secondary(), 0, disk_);
  ASSERT_TRUE(ask());
  EXPECT_EQ(status(), kPresent | kButton | kPresenceChanged);
}

TEST_F(RootPortTest, ASlotThatIsOffNeedsNoAsking) {
  command(kPowerOff | kDark);
  host_->plug(*port_->secondary(), 0, disk_, true);
  clear(0x11f);
  EXPECT_EQ(*ask(), RootPort::Asked::Off);
}

// PCIe 5.0 §6.7.3.3: what is taken away without the guest's leave.
TEST_F(RootPortTest, Surprise) {
  command(kPowerOn | kLit);
  host_->plug(*port_->secondary(), 0, disk_);
  messages();
  host_->change([&] { port_->surprise(); });
  EXPECT_EQ(messages(), 1u);
  EXPECT_EQ(status(), kPresenceChanged | kLinkChanged);
  EXPECT_FALSE(link());
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);
  host_->unplug(disk_);
  clear(kPresenceChanged | kLinkChanged);
  EXPECT_EQ(status(), 0u);
  // The guest switches off what is gone.
  command(kPowerOff | kDark);
  EXPECT_EQ(offs_, 0);
  host_->plug(*port_->secondary(), 0, disk_, true);
  settle();
  enumerate();
}

// The guest switches the slot off for the card that is gone, when the next is there already, which is shown after that.
TEST_F(RootPortTest, NextCardAfterASurprise) {
  command(kPowerOn | kLit);
  host_->plug(*port_->secondary(), 0, disk_);
  host_->change([&] { port_->surprise(); });
  host_->unplug(disk_);
  host_->plug(*port_->secondary(), 0, disk_, true);
  clear(0x11f);
  settle();
  EXPECT_EQ(status(), 0u);
  command(kPowerOff | kLit);
  command(kPowerOff | kDark);
  EXPECT_EQ(offs_, 0);
  EXPECT_EQ(status(), 0u);
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);
  messages();
  settle();
  EXPECT_EQ(status(), kPresent | kPresenceChanged | kLinkChanged | kButton);
  EXPECT_EQ(messages(), 1u);
  enumerate();
  clear(0x11f);
  command(kPowerOn | kLit);
  command(kPowerOff | kDark);
  EXPECT_EQ(offs_, 1);
  EXPECT_EQ(status(), kPresenceChanged | kLinkChanged);
}

// It may go again before it was shown, and a reset shows it.
TEST_F(RootPortTest, NextCardThatTheGuestHasNotSeen) {
  command(kPowerOn | kLit);
  host_->plug(*port_->secondary(), 0, disk_);
  host_->change([&] { port_->surprise(); });
  host_->unplug(disk_);
  clear(0x11f);
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_EQ(*ask(), RootPort::Asked::Off);
  host_->unplug(disk_);
  command(kPowerOff | kDark);
  settle();
  EXPECT_EQ(status(), 0u);
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_TRUE(link());
  host_->change([&] { port_->surprise(); });
  host_->unplug(disk_);
  clear(0x11f);
  command(kPowerOn | kLit);
  command(kPowerOff | kDark);
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_FALSE(link());
  host_->reset();
  EXPECT_EQ(status(), kPresent);
  EXPECT_TRUE(link());
}

// Drivers that reset what is gone read zeroes, until the guest has switched the slot off.
TEST_F(RootPortTest, RemainsOfASurprise) {
  Cell cell;
  ASSERT_TRUE(disk_.add_bar(0, BarKind::Memory32, false, 0x1000, Cell::kOps, &cell));
  for (int how = 0; how < 3; ++how) {
    make({.memory = memory_.get()});
    host_->plug(*port_->secondary(), 0, disk_);
    write(0, kPort, kMemoryBase, 4, 0xc000c000);
    write(1, 0, kBar0, 4, kMemory);
    write(1, 0, kCommand, 2, kMemoryDecode);
    ASSERT_EQ(memory_->owner_of(kMemory, 1), "device 'd'");
    host_->change([&] { port_->surprise(); });
    host_->unplug(disk_);
    EXPECT_EQ(memory_->owner_of(kMemory, 1), "");
    host_->change([&] { port_->leave_remains(); });
    EXPECT_EQ(memory_->owner_of(kMemory, 0x1000), "the port");
    memory_->write(0, kMemory + 0x14, 1, 0xff);
    EXPECT_EQ(memory_->read(0, kMemory + 0x14, 1), 0u);
    set_control(kPowerOff | kBlinking);
    EXPECT_EQ(memory_->owner_of(kMemory, 1), "the port");
    if (how == 0) set_control(kPowerOff | kDark);
    if (how == 1) write(0, kPort, kMemoryBase, 4, 0xc010c010);
    if (how == 2) host_->reset();
    EXPECT_EQ(memory_->owner_of(kMemory, 1), "") << how;
  }
}

TEST_F(RootPortTest, SurpriseWhileItIsAsked) {
  host_->plug(*port_->secondary(), 0, disk_);
  ASSERT_TRUE(ask());
  clear(kButton);
  command(kPowerOn | kBlinking);
  host_->change([&] { port_->surprise(); });
  host_->unplug(disk_);
  EXPECT_EQ(status(), kPresenceChanged | kLinkChanged);
  host_->reset();
  EXPECT_EQ(offs_, 0);
  EXPECT_EQ(status(), 0u);
}

TEST_F(RootPortTest, InterruptsByTheLineWithoutMsix) {
  const uint32_t msix = port_->config().find_capability(0x11);
  write(0, kPort, msix + 2, 2, 0);
  set_control(kPowerOff | kDark | kAllEvents);
  EXPECT_TRUE(host_->lines().level(2));
  clear(kCompleted);
  EXPECT_FALSE(host_->lines().level(2));
  host_->plug(*port_->secondary(), 0, disk_, true);
  EXPECT_TRUE(host_->lines().level(2));
  clear(kButton);
  EXPECT_TRUE(host_->lines().level(2));  // for the link
  clear(kLinkChanged);
  EXPECT_FALSE(host_->lines().level(2));  // a presence change is not enabled
}

TEST_F(RootPortTest, ItsResetBitResetsWhatIsBelow) {
  Cell cell;
  ASSERT_TRUE(disk_.add_bar(0, BarKind::Memory32, false, 0x1000, Cell::kOps, &cell));
  host_->plug(*port_->secondary(), 0, disk_);
  write(0, kPort, kMemoryBase, 4, 0xc000c000);
  write(1, 0, kBar0, 4, kMemory);
  write(1, 0, kCommand, 2, kMemoryDecode);
  EXPECT_EQ(memory_->owner_of(kMemory, 1), "device 'd'");
  write(0, kPort, kBridgeControl, 2, 1 << 6);
  EXPECT_EQ(memory_->owner_of(kMemory, 1), "");
  write(0, kPort, kBridgeControl, 2, 0);
  EXPECT_EQ(read(1, 0, kBar0, 4), 0u);
  EXPECT_EQ(read(1, 0, kCommand, 2), 0u);
}

}  // namespace
}  // namespace nacre::pci
