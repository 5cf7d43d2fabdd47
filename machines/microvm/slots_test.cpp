#include "machines/microvm/slots.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre::microvm {
namespace {

using ::testing::HasSubstr;

nacre_device_desc virtio() {
  return {sizeof(nacre_device_desc), 2, "virtio-blk-device", "d", "virtio"};
}

TEST(Slots, FillsFromTheFirstAndReusesWhatIsFreed) {
  Slots slots;
  nacre_placement first{}, second{}, third{};
  ASSERT_TRUE(slots.place(virtio(), first));
  ASSERT_TRUE(slots.place(virtio(), second));
  EXPECT_EQ(first.base, 0xf0100000u);
  EXPECT_EQ(first.gsi, 5u);
  EXPECT_EQ(second.base, 0xf0100200u);
  EXPECT_EQ(second.gsi, 6u);
  slots.displace(first);
  EXPECT_EQ(slots.command_line(), " virtio_mmio.device=512@0xf0100200:6");
  ASSERT_TRUE(slots.place(virtio(), third));
  EXPECT_EQ(third.base, first.base);
  EXPECT_EQ(slots.command_line(), " virtio_mmio.device=512@0xf0100000:5 virtio_mmio.device=512@0xf0100200:6");
}

TEST(Slots, CountsThemWhenTheyAreExhausted) {
  for (uint32_t usable : {kIsaSlots, kSlots}) {
    Slots slots(usable);
    nacre_placement placement{};
    for (uint32_t i = 0; i < usable; ++i) ASSERT_TRUE(slots.place(virtio(), placement));
    EXPECT_EQ(placement.gsi, usable == kSlots ? 23u : 15u);
    sdk::Status full = slots.place(virtio(), placement);
    ASSERT_FALSE(full);
    EXPECT_THAT(full.error().message, HasSubstr("all " + std::to_string(usable)));
    EXPECT_EQ(full.error().message.find("acpi=on") != std::string::npos, usable == kIsaSlots);
  }
}

TEST(Slots, LeavesIsaDevicesAloneAndRefusesPci) {
  Slots slots;
  nacre_placement placement{};
  placement.kind = 99;
  EXPECT_TRUE(slots.place({sizeof(nacre_device_desc), 0, "isa-serial", "s", "isa"}, placement));
  EXPECT_EQ(placement.kind, static_cast<uint32_t>(NACRE_PLACE_NONE));
  sdk::Status refused = slots.place({sizeof(nacre_device_desc), 2, "virtio-blk-pci", "d", "pci"}, placement);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("no pci bus"));
}

}  // namespace
}  // namespace nacre::microvm
