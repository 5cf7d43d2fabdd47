#include "core/bus/pci/host.hpp"

#include <random>

#include "core/bus/pci/test_pci.hpp"

namespace nacre::pci {
namespace {

constexpr Identity kDevice{0x1234, 0x5678, 3, 0x028000, 0xaaaa, 0xbbbb};
constexpr uint32_t kSlot3 = 3 << 3;

class HostTest : public PciTest {
 protected:
  HostTest() : function_("device 'd'", kDevice) {
    EXPECT_TRUE(function_.add_bar(0, BarKind::Memory32, false, 0x2000, Cell::kOps, &small_));
    EXPECT_TRUE(function_.add_bar(2, BarKind::Memory64, true, 0x10000, Cell::kOps, &wide_));
    EXPECT_TRUE(function_.add_bar(4, BarKind::Io, false, 32, Cell::kOps, &io_));
    function_.add_intx();
    host_->plug(host_->root(), kSlot3, function_);
  }
  ~HostTest() override {
    if (function_.bus()) host_->unplug(function_);
  }

  void command(uint32_t value) { write(0, kSlot3, kCommand, 2, value); }
  std::string owner(uint64_t address) { return memory_->owner_of(address, 1); }

  PciFunction function_;
  Cell small_, wide_, io_;
};

TEST_F(HostTest, ShowsTheHeader) {
  EXPECT_EQ(read(0, kSlot3, kVendorId, 4), 0x56781234u);
  EXPECT_EQ(read(0, kSlot3, kRevision, 4), 0x02800003u);
  EXPECT_EQ(read(0, kSlot3, kSubsystemVendorId, 4), 0xbbbbaaaau);
  EXPECT_EQ(read(0, kSlot3, kInterruptPin, 1), 1u);
  write(0, kSlot3, kVendorId, 4, 0);
  EXPECT_EQ(read(0, kSlot3, kVendorId, 4), 0x56781234u);
}

TEST_F(HostTest, AbsentFunctionsReadAsOnes) {
  EXPECT_EQ(read(0, 4 << 3, 0, 4), 0xffffffffu);
  EXPECT_EQ(read(0, kSlot3 + 1, 0, 2), 0xffffu);
  EXPECT_EQ(read(7, 0, 0, 1), 0xffu);
  EXPECT_EQ(read(0, 4 << 3, 0, 8), ~0ull);
  EXPECT_EQ(port_read(0, 4 << 3, 0, 4), 0xffffffffu);
  write(0, 4 << 3, 4, 4, 7);
}

TEST_F(HostTest, BothWaysShowTheSame) {
  command(kMemoryDecode | kBusMaster);
  for (uint32_t offset = 0; offset < 256; ++offset)
    for (uint32_t width : {1u, 2u, 4u}) {
      if (offset % 4 + width > 4) continue;
      EXPECT_EQ(read(0, kSlot3, offset, width), port_read(0, kSlot3, offset, width)) << offset << " " << width;
    }
  // Without the enable bit nothing answers.
  ports_->write(0, 0xcf8, 4, kSlot3 << 8);
  EXPECT_EQ(ports_->read(0, 0xcfc, 4), 0xffffffffu);
  ports_->write(0, 0xcf8, 4, 1u << 31 | kSlot3 << 8 | 4);
  EXPECT_EQ(ports_->read(0, 0xcf8, 4), 1u << 31 | kSlot3 << 8 | 4u);
  ports_->write(0, 0xcfc, 2, 0);
  EXPECT_EQ(read(0, kSlot3, kCommand, 2), 0u);
}

TEST_F(HostTest, OtherPortAccessesGoToTheMachine) {
  ports_->write(0, 0xcf9, 1, 6);
  EXPECT_EQ(reset_port_.value, 6u);
  EXPECT_EQ(reset_port_.last_offset, 1u);
  EXPECT_EQ(ports_->read(0, 0xcf9, 1), 6u);
  EXPECT_EQ(port_read(0, kSlot3, 0, 2), 0x1234u);  // CONFIG_ADDRESS is untouched by it
}

TEST_F(HostTest, TellsTheSizeOfBars) {
  for (bool decoding : {false, true}) {
    command(decoding ? kMemoryDecode | kIoDecode : 0);
    for (uint32_t i = 0; i < 6; ++i) write(0, kSlot3, kBar0 + 4 * i, 4, 0xffffffff);
    EXPECT_EQ(read(0, kSlot3, kBar0, 4), 0xffffe000u);
    EXPECT_EQ(read(0, kSlot3, kBar0 + 4, 4), 0u);
    EXPECT_EQ(read(0, kSlot3, kBar0 + 8, 4), 0xffff000cu);
    EXPECT_EQ(read(0, kSlot3, kBar0 + 12, 4), 0xffffffffu);
    EXPECT_EQ(read(0, kSlot3, kBar0 + 16, 4), 0xffffffe1u);
    EXPECT_EQ(owner(0xffffe000), "");
  }
}

TEST_F(HostTest, MapsBarsWhileTheyAreDecoded) {
  write(0, kSlot3, kBar0, 4, kMemory + 0x2000);
  write(0, kSlot3, kBar0 + 8, 4, 0);
  write(0, kSlot3, kBar0 + 12, 4, kHigh >> 32);
  write(0, kSlot3, kBar0 + 16, 4, 0x2040);
  EXPECT_EQ(owner(kMemory + 0x2000), "");
  command(kMemoryDecode);
  EXPECT_EQ(owner(kMemory + 0x2000), "device 'd'");
  EXPECT_EQ(owner(kHigh + 0xffff), "device 'd'");
  EXPECT_EQ(ports_->owner_of(0x2040, 1), "");
  command(kMemoryDecode | kIoDecode);
  ports_->write(0, 0x2044, 2, 0x77);
  EXPECT_EQ(io_.value, 0x77u);
  EXPECT_EQ(io_.last_offset, 4u);
  memory_->write(0, kMemory + 0x2010, 4, 0x99);
  EXPECT_EQ(small_.value, 0x99u);
  EXPECT_EQ(memory_->read(0, kHigh + 8, 8), wide_.value);
  // It moves.
  write(0, kSlot3, kBar0, 4, kMemory + 0x4000);
  EXPECT_EQ(owner(kMemory + 0x2000), "");
  EXPECT_EQ(memory_->read(0, kMemory + 0x4000, 4), 0x99u);
  command(0);
  EXPECT_EQ(owner(kMemory + 0x4000), "");
  EXPECT_EQ(ports_->owner_of(0x2040, 1), "");
}

TEST_F(HostTest, OutsideTheWindowNothingIsMapped) {
  command(kMemoryDecode | kIoDecode);
  for (uint32_t base : {0x100000u, 0xb0000000u, 0xbfffe000u, 0xf0000000u, 0xfee00000u}) {
    write(0, kSlot3, kBar0, 4, base);
    EXPECT_FALSE(function_.bar(0).mapped_at) << base;
  }
  write(0, kSlot3, kBar0, 4, 0xefffe000);
  EXPECT_TRUE(function_.bar(0).mapped_at);
  write(0, kSlot3, kBar0 + 16, 4, 0x60);
  EXPECT_EQ(ports_->owner_of(0x60, 1), "");
  EXPECT_EQ(owner(kEcam), "the PCI configuration space");
}

TEST_F(HostTest, TwoAtOnePlaceTheFirstHasIt) {
  PciFunction other("device 'e'", kDevice);
  Cell cell;
  EXPECT_FALSE(other.add_bar(UINT32_MAX, BarKind::Memory64, false, 0x1000, Cell::kOps, &cell));
  ASSERT_TRUE(other.add_bar(0, BarKind::Memory32, false, 0x1000, Cell::kOps, &cell));
  host_->plug(host_->root(), 4 << 3, other);
  write(0, kSlot3, kBar0, 4, kMemory);
  write(0, 4 << 3, kBar0, 4, kMemory + 0x1000);
  command(kMemoryDecode);
  write(0, 4 << 3, kCommand, 2, kMemoryDecode);
  EXPECT_EQ(owner(kMemory + 0x1000), "device 'd'");
  command(0);
  EXPECT_EQ(owner(kMemory + 0x1000), "device 'e'");
  host_->unplug(other);
  EXPECT_EQ(owner(kMemory + 0x1000), "");
}

TEST_F(HostTest, AResetGoesBackToPowerOn) {
  std::vector<uint64_t> before;
  for (uint32_t i = 0; i < 4096; i += 4) before.push_back(read(0, kSlot3, i, 4));
  write(0, kSlot3, kBar0, 4, kMemory);
  write(0, kSlot3, kInterruptLine, 1, 11);
  command(0xffff);
  function_.set_intx(true);
  host_->reset();
  for (uint32_t i = 0; i < 4096; i += 4) EXPECT_EQ(read(0, kSlot3, i, 4), before[i / 4]) << i;
  EXPECT_EQ(owner(kMemory), "");
  EXPECT_FALSE(host_->lines().level(3));
}

TEST_F(HostTest, EcamMovesAndGoes) {
  host_->place_ecam(0xd0000000 - (64 << 20), 64);
  serve_posts();
  EXPECT_EQ(owner(kEcam), "");
  EXPECT_EQ(memory_->read(0, 0xcc000000 + (kSlot3 << 12), 2), 0x1234u);
  host_->place_ecam(0, 0);
  serve_posts();
  EXPECT_EQ(owner(0xcc000000), "");
  EXPECT_EQ(port_read(0, kSlot3, 0, 2), 0x1234u);
  host_->reset();
  serve_posts();
  EXPECT_EQ(read(0, kSlot3, 0, 2), 0x1234u);
}

TEST_F(HostTest, SharesInterruptLines) {
  PciFunction other("device 'e'", kDevice);
  other.add_intx();
  host_->plug(host_->root(), 7 << 3, other);  // 7 and 3 end at one line
  function_.set_intx(true);
  other.set_intx(true);
  function_.set_intx(true);
  EXPECT_TRUE(host_->lines().level(3));
  function_.set_intx(false);
  EXPECT_TRUE(host_->lines().level(3));
  EXPECT_TRUE(read(0, 7 << 3, kStatus, 2) & kIntxStatus);
  write(0, 7 << 3, kCommand, 2, kIntxDisable);
  EXPECT_FALSE(host_->lines().level(3));
  EXPECT_TRUE(read(0, 7 << 3, kStatus, 2) & kIntxStatus);
  write(0, 7 << 3, kCommand, 2, 0);
  EXPECT_TRUE(host_->lines().level(3));
  host_->unplug(other);
  EXPECT_FALSE(host_->lines().level(3));
}

// A bridge with a bus of its own.
class Bridge : public PciFunction {
 public:
  Bridge() : PciFunction("the bridge", {0x1b36, 0xc, 0, 0x060400}, true), below("below", this) {
    config().writable(kPrimaryBus, 4, 0x00ffffff);
    config().writable(kIoBase, 2, 0xf0f0);
    config().writable(kMemoryBase, 4, 0xfff0fff0);
    config().set32(kPrefetchBase, 0x00010001);
    config().writable(kPrefetchBase, 4, 0xfff0fff0);
    config().writable(kPrefetchBaseUpper, 4, UINT32_MAX);
    config().writable(kPrefetchLimitUpper, 4, UINT32_MAX);
  }
  PciBus* secondary() override { return &below; }
  PciBus below;
};

TEST_F(HostTest, BehindABridge) {
  Bridge bridge;
  PciFunction inner("device 'i'", kDevice);
  Cell cell, high, io;
  ASSERT_TRUE(inner.add_bar(0, BarKind::Memory32, false, 0x1000, Cell::kOps, &cell));
  ASSERT_TRUE(inner.add_bar(2, BarKind::Memory64, true, 0x1000, Cell::kOps, &high));
  ASSERT_TRUE(inner.add_bar(4, BarKind::Io, false, 0x20, Cell::kOps, &io));
  inner.add_intx();
  host_->plug(host_->root(), 5 << 3, bridge);
  host_->plug(bridge.below, 0, inner);
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);
  write(0, 5 << 3, kPrimaryBus, 4, 0x040200);  // buses 2 to 4
  EXPECT_EQ(read(1, 0, 0, 4), 0xffffffffu);
  EXPECT_EQ(read(2, 0, 0, 4), 0x56781234u);
  EXPECT_EQ(read(3, 0, 0, 4), 0xffffffffu);
  write(2, 0, kBar0, 4, kMemory + 0x100000);
  write(2, 0, kBar0 + 12, 4, kHigh >> 32);
  write(2, 0, kCommand, 2, kMemoryDecode);
  EXPECT_EQ(owner(kMemory + 0x100000), "");  // the bridge forwards nothing
  write(0, 5 << 3, kMemoryBase, 2, (kMemory + 0x100000) >> 16);
  write(0, 5 << 3, kMemoryLimit, 2, (kMemory + 0x100000) >> 16);
  write(0, 5 << 3, kPrefetchBaseUpper, 4, kHigh >> 32);
  write(0, 5 << 3, kPrefetchLimitUpper, 4, kHigh >> 32);
  EXPECT_EQ(owner(kMemory + 0x100000), "");
  write(0, 5 << 3, kCommand, 2, kMemoryDecode);
  EXPECT_EQ(owner(kMemory + 0x100000), "device 'i'");
  EXPECT_EQ(owner(kHigh), "device 'i'");
  write(0, 5 << 3, kMemoryBase, 2, (kMemory + 0x200000) >> 16);
  EXPECT_EQ(owner(kMemory + 0x100000), "");
  // Ports have a window of their own, in steps of 4 KiB (bridge 1.2 §3.2.5.6), and a bit of the command.
  write(2, 0, kBar0 + 16, 4, 0x3000);
  write(2, 0, kCommand, 2, kIoDecode);
  write(0, 5 << 3, kIoBase, 2, 0x3030);
  EXPECT_EQ(ports_->owner_of(0x3000, 1), "");
  write(0, 5 << 3, kCommand, 2, kIoDecode);
  EXPECT_EQ(ports_->owner_of(0x3000, 1), "device 'i'");
  ports_->write(0, 0x301f, 1, 7);
  EXPECT_EQ(io.value, 7u);
  EXPECT_EQ(io.last_offset, 0x1fu);
  write(0, 5 << 3, kIoBase, 2, 0x4040);
  EXPECT_EQ(ports_->owner_of(0x3000, 1), "");
  // Its pin is turned by the bridge's slot: 0 + 5.
  inner.set_intx(true);
  EXPECT_TRUE(host_->lines().level(1));
  host_->unplug(inner);
  EXPECT_FALSE(host_->lines().level(1));
  host_->unplug(bridge);
}

TEST_F(HostTest, SurvivesGarbage) {
  std::mt19937 random(11);
  for (int i = 0; i < 30000; ++i) {
    const uint32_t width = 1u << random() % 4;
    const uint64_t address = kEcam + (kSlot3 << 12) + random() % 0x1000;
    memory_->write(0, address, width, uint64_t{random()} << 32 | random());
    memory_->read(0, address, width);
    ports_->write(0, 0xcf8 + random() % 8, 1u << random() % 3, random());
  }
  host_->reset();
  EXPECT_EQ(read(0, kSlot3, 0, 4), 0x56781234u);
  EXPECT_EQ(read(0, kSlot3, kCommand, 2), 0u);
}

TEST_F(HostTest, RefusesBadBars) {
  PciFunction other("device 'e'", kDevice);
  EXPECT_FALSE(other.add_bar(0, BarKind::Memory32, false, 0x1800, Cell::kOps, nullptr));
  EXPECT_FALSE(other.add_bar(5, BarKind::Memory64, false, 0x1000, Cell::kOps, nullptr));
  EXPECT_FALSE(other.add_bar(0, BarKind::Io, false, 512, Cell::kOps, nullptr));
  ASSERT_TRUE(other.add_bar(0, BarKind::Memory64, false, 0x1000, Cell::kOps, nullptr));
  EXPECT_FALSE(other.add_bar(1, BarKind::Memory32, false, 0x1000, Cell::kOps, nullptr));
}

}  // namespace
}  // namespace nacre::pci
