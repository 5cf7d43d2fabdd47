#include "machines/microvm/slots.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre::microvm {
namespace {

using ::testing::HasSubstr;

nacre_device_desc other() {
  return {.size = sizeof(nacre_device_desc),
          .virtio_device_id = 4,
          .driver = "virtio-rng-device",
          .id = "r",
          .bus = "virtio"};
}
nacre_device_desc disk(const char* id, const char* addr = nullptr, const char* lun = nullptr, bool hot = true) {
  return {.size = sizeof(nacre_device_desc),
          .virtio_device_id = 2,
          .driver = "virtio-blk-device",
          .id = id,
          .bus = "virtio",
          .backend = id,
          .addr = addr,
          .lun = lun,
          .hot = hot};
}

class SlotsTest : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t slot = 0; slot < kReplaceableSlots; ++slot) slots_.offer(slot);
  }
  std::string refusal(const nacre_device_desc& device) {
    nacre_placement placement{};
    sdk::Status refused = slots_.place(device, placement);
    return refused ? "" : refused.error().message;
  }
  uint32_t slot_of(const nacre_device_desc& device) {
    nacre_placement placement{};
    EXPECT_TRUE(slots_.place(device, placement));
    return placement.slot;
  }

  Slots slots_;
};

TEST_F(SlotsTest, ShowsTheReplaceableOnesFromTheStart) {
  std::string line = slots_.command_line();
  EXPECT_TRUE(line.starts_with(" virtio_mmio.device=512@0xf0100000:5 virtio_mmio.device=512@0xf0100200:6"));
  EXPECT_TRUE(line.ends_with(" virtio_mmio.device=512@0xf0100e00:12"));
}

TEST_F(SlotsTest, GivesADiskTheSlotThatItNames) {
  EXPECT_EQ(slot_of(disk("a", "0x1")), 1u);
  EXPECT_EQ(slot_of(disk("b")), 0u);
  EXPECT_EQ(slot_of(disk("c", nullptr, "1")), 2u);  // lun 0 is vdb, slot 1
  EXPECT_EQ(slot_of(disk("d", "5", "1")), 5u);      // addr counts before lun
  EXPECT_THAT(refusal(disk("e", "0x1")), HasSubstr("The slot 1 is occupied already"));
  EXPECT_THAT(refusal(disk("e", "6")), HasSubstr("no slot 6"));
  EXPECT_THAT(refusal(disk("e", "x")), HasSubstr("Invalid addr for device e"));
  EXPECT_EQ(slot_of(disk("e")), 3u);
  EXPECT_EQ(slot_of(disk("f")), 4u);
  EXPECT_THAT(refusal(disk("g")), HasSubstr("A maximum of 6 block replaceable devices"));
}

TEST_F(SlotsTest, WantsOneNameForADiskAndItsDrive) {
  nacre_device_desc device = disk("a");
  device.backend = "b";
  EXPECT_THAT(refusal(device), HasSubstr("'a'"));
  device.hot = false;
  EXPECT_EQ(slot_of(device), 0u);
  EXPECT_THAT(refusal(disk("c", "1", nullptr, false)), HasSubstr("Should not set bus"));
}

TEST_F(SlotsTest, GivesOtherDevicesTheSlotsBehindAndCountsThem) {
  nacre_placement placement{}, freed{};
  ASSERT_TRUE(slots_.place(other(), freed));
  EXPECT_EQ(freed.base, 0xf0101000u);
  EXPECT_EQ(freed.gsi, 13u);
  for (uint32_t i = kReplaceableSlots + 1; i < kSlots; ++i) ASSERT_TRUE(slots_.place(other(), placement));
  EXPECT_EQ(placement.gsi, 23u);
  EXPECT_THAT(refusal(other()), HasSubstr("all 11 beside the 6 of disks and 2 of NICs"));
  slots_.displace(freed);
  EXPECT_EQ(slot_of(other()), freed.slot);
  nacre_device_desc late = other();
  late.hot = true;
  EXPECT_THAT(refusal(late), HasSubstr("only disks"));
}

TEST_F(SlotsTest, LeavesIsaDevicesAloneAndRefusesPci) {
  nacre_placement placement{};
  placement.kind = 99;
  nacre_device_desc device = other();
  device.virtio_device_id = 0;
  device.bus = "isa";
  EXPECT_TRUE(slots_.place(device, placement));
  EXPECT_EQ(placement.kind, static_cast<uint32_t>(NACRE_PLACE_NONE));
  device = other();
  device.bus = "pci";
  EXPECT_THAT(refusal(device), HasSubstr("no pci bus"));
}

TEST_F(SlotsTest, TheLastLunIsNoSlot) {
  EXPECT_THAT(refusal(disk("a", nullptr, "4294967295")), HasSubstr("there is no slot 4294967296."));
}

}  // namespace
}  // namespace nacre::microvm
