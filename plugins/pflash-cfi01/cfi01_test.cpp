#include "cfi01.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace nacre::flash {
namespace {

class Cfi01Test : public ::testing::Test {
 protected:
  std::vector<uint8_t> array_ = std::vector<uint8_t>(16 * 4096, 0xff);
  Cfi01 flash_{array_, {}};
};

TEST_F(Cfi01Test, ReadsTheArrayAtFirst) {
  array_[5] = 0x12;
  array_[6] = 0x34;
  EXPECT_TRUE(flash_.reads_array());
  EXPECT_EQ(flash_.read(5, 2), 0x3412u);
}

// As EDK II finds out whether there is flash, RAM or ROM.
TEST_F(Cfi01Test, IsFlashToEdk2) {
  array_[0x10] = 0xaa;
  flash_.write(0x10, 1, 0x50);
  EXPECT_EQ(flash_.read(0x10, 1), 0xaau) << "the status is cleared, the array still read";
  flash_.write(0x10, 1, 0x70);
  EXPECT_EQ(flash_.read(0x10, 1), 0u);
  flash_.write(0x10, 1, 0xff);
  EXPECT_EQ(flash_.read(0x10, 1), 0xaau);
}

TEST_F(Cfi01Test, ProgramsByClearingBits) {
  flash_.write(7, 1, 0x10);
  const auto changed = flash_.write(7, 1, 0xf0);
  EXPECT_EQ(changed.offset, 7u);
  EXPECT_EQ(changed.length, 1u);
  EXPECT_EQ(flash_.read(7, 1), kReady);
  flash_.write(7, 1, 0x40);
  flash_.write(7, 1, 0x3c);
  flash_.write(0, 1, 0xff);
  EXPECT_EQ(flash_.read(7, 1), 0x30u);
}

TEST_F(Cfi01Test, ErasesTheSectorOfTheAddress) {
  std::fill(array_.begin(), array_.end(), uint8_t{0});
  flash_.write(4096 + 17, 1, 0x20);
  const auto changed = flash_.write(4096 + 17, 1, 0xd0);
  EXPECT_EQ(changed.offset, 4096u);
  EXPECT_EQ(changed.length, 4096u);
  EXPECT_EQ(array_[4095], 0);
  EXPECT_EQ(array_[4096], 0xff);
  EXPECT_EQ(array_[8191], 0xff);
  EXPECT_EQ(array_[8192], 0);
}

TEST_F(Cfi01Test, AnEraseThatIsNotConfirmedFails) {
  array_[0] = 1;
  flash_.write(0, 1, 0x20);
  EXPECT_EQ(flash_.write(0, 1, 0xff).length, 0u);
  EXPECT_EQ(flash_.read(0, 1), kReady | kEraseFailed | kProgramFailed);
  EXPECT_EQ(array_[0], 1);
}

TEST_F(Cfi01Test, WritesABuffer) {
  flash_.write(0x1000, 1, 0xe8);
  EXPECT_EQ(flash_.read(0x1000, 1), kReady);
  flash_.write(0x1000, 1, 3);  // four bytes
  for (uint32_t i = 0; i < 4; ++i) flash_.write(0x1010 + i, 1, i);
  const auto changed = flash_.write(0x1000, 1, 0xd0);
  EXPECT_LE(changed.offset, 0x1010u);
  EXPECT_GE(changed.offset + changed.length, 0x1014u);
  for (uint8_t i = 0; i < 4; ++i) EXPECT_EQ(array_[0x1010 + i], i);
  EXPECT_EQ(array_[0x1014], 0xff);
  EXPECT_EQ(array_[0x100f], 0xff);
}

TEST_F(Cfi01Test, ABufferThatLeavesItsBlockFails) {
  flash_.write(0, 1, 0xe8);
  flash_.write(0, 1, 1);
  flash_.write(255, 1, 0);
  flash_.write(256, 1, 0);
  EXPECT_EQ(flash_.write(0, 1, 0xd0).length, 0u);
  EXPECT_EQ(flash_.read(0, 1), kReady | kEraseFailed | kProgramFailed);
  EXPECT_EQ(array_[255], 0xff);
}

TEST_F(Cfi01Test, ABufferAtTheEndOfTheArrayStaysInside) {
  flash_.write(0, 1, 0xe8);
  flash_.write(0, 1, 0xff);
  for (uint32_t i = 0; i < 256; ++i) flash_.write(array_.size() - 8, 8, 0);
  flash_.write(0, 1, 0xd0);
  flash_.write(0, 1, 0xff);
  SUCCEED() << "the address sanitizer would tell";
}

TEST_F(Cfi01Test, ReadOnlyFlashSaysSo) {
  Cfi01 rom(array_, {.readonly = true});
  rom.write(0, 1, 0x10);
  EXPECT_EQ(rom.write(0, 1, 0).length, 0u);
  EXPECT_EQ(rom.read(0, 1), kReady | kProgramFailed | kLocked);
  rom.write(0, 1, 0x50);
  rom.write(0, 1, 0x20);
  EXPECT_EQ(rom.write(0, 1, 0xd0).length, 0u);
  EXPECT_EQ(rom.read(0, 1), kReady | kEraseFailed | kLocked);
  EXPECT_EQ(array_[0], 0xff);
}

TEST_F(Cfi01Test, DescribesItself) {
  flash_.write(0x55, 1, 0x98);
  EXPECT_EQ(flash_.read(0x10, 1), uint64_t{'Q'});
  EXPECT_EQ(flash_.read(0x11, 1), uint64_t{'R'});
  EXPECT_EQ(flash_.read(0x12, 1), uint64_t{'Y'});
  EXPECT_EQ(flash_.read(0x27, 1), 16u);
  EXPECT_EQ(flash_.read(0x2d, 1), 15u) << "sectors - 1";
  EXPECT_EQ(flash_.read(0x2f, 1), 16u) << "in 256 bytes";
  flash_.write(0, 1, 0x90);
  EXPECT_EQ(flash_.read(0, 1), 0x89u);
}

TEST_F(Cfi01Test, ChipsSideBySideAnswerEach) {
  Cfi01 two(array_, {.sector = 8192, .bank_width = 4, .device_width = 2});
  two.write(0, 4, 0x00980098);
  EXPECT_EQ(two.read(0x40, 4), 0x00510051u);
  two.write(0, 4, 0x00ff00ff);
  two.write(0, 4, 0x00400040);
  two.write(0, 4, 0x12345678);
  EXPECT_EQ(two.read(0, 4), 0x00800080u);
  two.write(0, 4, 0x00ff00ff);
  EXPECT_EQ(two.read(0, 4), 0x12345678u);
}

TEST_F(Cfi01Test, ResetForgetsAllButTheArray) {
  array_[3] = 9;
  flash_.write(0, 1, 0x20);
  flash_.reset();
  EXPECT_TRUE(flash_.reads_array());
  flash_.write(0, 1, 0xd0);
  EXPECT_EQ(array_[3], 9);
}

}  // namespace
}  // namespace nacre::flash
