#include "core/bus/pci/config_space.hpp"

#include <gtest/gtest.h>

namespace nacre::pci {
namespace {

TEST(ConfigSpaceTest, EveryWidthShowsTheSameBytes) {
  ConfigSpace config;
  for (uint32_t i = 0; i < ConfigSpace::kBytes; ++i) config.set8(i, static_cast<uint8_t>(i * 7));
  for (uint32_t i = 0; i + 4 <= ConfigSpace::kBytes; ++i) {
    EXPECT_EQ(config.read(i, 1), (i * 7) & 0xff);
    EXPECT_EQ(config.read(i, 2), config.read(i, 1) | config.read(i + 1, 1) << 8);
    EXPECT_EQ(config.read(i, 4), config.read(i, 2) | config.read(i + 2, 2) << 16);
  }
}

TEST(ConfigSpaceTest, WritesWhatTheMasksAllow) {
  ConfigSpace config;
  config.set32(0x50, 0x11223344);
  config.write(0x50, 4, 0xffffffff);
  EXPECT_EQ(config.get32(0x50), 0x11223344u);
  config.writable(0x50, 4, 0x00ff0f00);
  config.write(0x50, 4, 0xaaaaaaaa);
  EXPECT_EQ(config.get32(0x50), 0x11aa3a44u);
  config.write(0x52, 1, 0x55);
  EXPECT_EQ(config.get32(0x50), 0x11553a44u);
  config.write(0x51, 2, 0);
  EXPECT_EQ(config.get32(0x50), 0x11003044u);
}

TEST(ConfigSpaceTest, NothingIsTakenBeyondTheEnd) {
  ConfigSpace config;
  EXPECT_FALSE(config.take(0x2000, 4));
  EXPECT_FALSE(config.take(ConfigSpace::kBytes, 4));
  EXPECT_FALSE(config.take(ConfigSpace::kBytes - 4, 8));
  EXPECT_TRUE(config.take(ConfigSpace::kBytes - 4, 4));
}

TEST(ConfigSpaceTest, AWrittenOneClears) {
  ConfigSpace config;
  config.set16(0x06, 0xf910);
  config.write_1_clears(0x06, 2, 0xf900);
  config.write(0x06, 2, 0x8110);
  EXPECT_EQ(config.get16(0x06), 0x7810);
  config.write(0x07, 1, 0xff);
  EXPECT_EQ(config.get16(0x06), 0x0010);
}

TEST(ConfigSpaceTest, LinksCapabilities) {
  ConfigSpace config;
  EXPECT_EQ(config.find_capability(0x10), 0u);
  const uint32_t first = config.add_capability(0x09, 19), second = config.add_capability(0x10, 0x3c);
  EXPECT_EQ(first, 0x40u);
  EXPECT_EQ(second, 0x54u);
  EXPECT_EQ(config.get8(kCapabilities), first);
  EXPECT_EQ(config.get8(first + 1), second);
  EXPECT_EQ(config.get8(second + 1), 0);
  EXPECT_TRUE(config.get16(kStatus) & kHasCapabilities);
  EXPECT_EQ(config.find_capability(0x10), second);
  EXPECT_EQ(config.add_capability(0x09, 0x80), 0u);  // no room
  EXPECT_EQ(config.get8(second + 1), 0);
  const uint32_t extended = config.add_extended_capability(3, 1, 12);
  EXPECT_EQ(extended, 0x100u);
  EXPECT_EQ(config.add_extended_capability(1, 2, 0x40), 0x10cu);
  EXPECT_EQ(config.get32(extended), 3u | 1u << 16 | 0x10cu << 20);
}

TEST(ConfigSpaceTest, GoesBack) {
  ConfigSpace config;
  config.writable(0x04, 2, 7);
  config.save();
  config.write(0x04, 2, 7);
  config.restore();
  EXPECT_EQ(config.get16(0x04), 0);
}

}  // namespace
}  // namespace nacre::pci
