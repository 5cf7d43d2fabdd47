#include <gtest/gtest.h>

#include <algorithm>

#include "machines/common/fake_guest.hpp"
#include "machines/common/fw_cfg_contents.hpp"

namespace nacre::machine {
namespace {

constexpr uint64_t kCommand = 0x1000, kTarget = 0x10000;
enum : uint32_t { kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16 };

class FwCfgTest : public ::testing::Test {
 protected:
  FwCfgTest() { device_.clear(); }

  std::string read(uint16_t key, size_t length) {
    device_.select(key);
    std::string text(length, '?');
    for (char& byte : text) byte = static_cast<char>(device_.read_byte());
    return text;
  }

  // Gives a command and returns its control word afterwards.
  uint32_t dma(uint32_t control, uint64_t address, uint32_t length, uint64_t command = kCommand) {
    put<uint32_t>(guest_.ram, command, __builtin_bswap32(control));
    put<uint32_t>(guest_.ram, command + 4, __builtin_bswap32(length));
    put<uint64_t>(guest_.ram, command + 8, __builtin_bswap64(address));
    bool more = device_.start_dma(guest_.memory(), command);
    for (steps_ = 0; more; ++steps_) more = device_.step(guest_.memory());
    return __builtin_bswap32(guest_.at<uint32_t>(command));
  }

  FakeGuest guest_{8 * kMiB};
  FwCfg device_;
  int steps_ = 0;
};

TEST_F(FwCfgTest, SaysWhatItIs) {
  EXPECT_EQ(read(FwCfg::kSignature, 5), std::string("QEMU\0", 5));
  EXPECT_EQ(read(FwCfg::kId, 4), std::string("\3\0\0\0", 4));
}

TEST_F(FwCfgTest, WhatIsNotThereReadsAsZeroes) {
  EXPECT_EQ(read(0x1234, 2), std::string(2, '\0'));
  EXPECT_EQ(dma(kSelect | kRead | 0x1234u << 16, kTarget, 4), 0u);
  EXPECT_EQ(guest_.at<uint32_t>(kTarget), 0u);
}

TEST_F(FwCfgTest, ListsItsFilesByName) {
  device_.add_file("etc/z", {1, 2, 3});
  device_.add_file("etc/a", {4});
  device_.finish();
  const std::string directory = read(FwCfg::kDirectory, 4 + 2 * 64);
  EXPECT_EQ(directory.substr(0, 4), std::string("\0\0\0\2", 4));
  EXPECT_EQ(directory.substr(4, 8), std::string("\0\0\0\1\0\x20\0\0", 8));
  EXPECT_EQ(directory.substr(12, 6), std::string("etc/a\0", 6));
  EXPECT_EQ(directory.substr(68, 8), std::string("\0\0\0\3\0\x21\0\0", 8));
  EXPECT_EQ(read(0x21, 4), std::string("\1\2\3\0", 4));
}

TEST_F(FwCfgTest, CopiesIntoMemory) {
  device_.set(0x40, {1, 2, 3, 4, 5});
  EXPECT_EQ(dma(kSelect | kRead | 0x40u << 16, kTarget, 2), 0u);
  EXPECT_EQ(guest_.at<uint16_t>(kTarget), 0x0201);
  EXPECT_EQ(guest_.at<uint8_t>(kTarget + 2), 0xaa);
  EXPECT_EQ(dma(kSkip, 0, 1), 0u);
  EXPECT_EQ(dma(kRead, kTarget, 3), 0u) << "goes on behind, and ends with zeroes";
  EXPECT_EQ(guest_.at<uint16_t>(kTarget), 0x0504);
  EXPECT_EQ(guest_.at<uint8_t>(kTarget + 2), 0);
}

TEST_F(FwCfgTest, CopiesAFileInSlices) {
  TemporaryDirectory directory;
  std::vector<uint8_t> content(2 * kMiB + 100);
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<uint8_t>(i * 7 + i / 4096);
  const BootFile file = directory.file("kernel", content);
  device_.set(0x40, file, 50, content.size() - 50);
  EXPECT_EQ(dma(kSelect | kRead | 0x40u << 16, kTarget, static_cast<uint32_t>(content.size())), 0u);
  EXPECT_EQ(steps_, 3);
  EXPECT_TRUE(std::equal(content.begin() + 50, content.end(), guest_.ram.begin() + kTarget));
  EXPECT_EQ(guest_.at<uint8_t>(kTarget + content.size() - 1), 0);
  EXPECT_EQ(guest_.at<uint8_t>(kTarget + content.size()), 0xaa);
}

TEST_F(FwCfgTest, WhileACopyIsUnderWayItIsDeaf) {
  device_.set(0x40, Bytes(200000, 7));
  put<uint32_t>(guest_.ram, kCommand, __builtin_bswap32(kSelect | kRead | 0x40u << 16));
  put<uint32_t>(guest_.ram, kCommand + 4, __builtin_bswap32(200000));
  put<uint64_t>(guest_.ram, kCommand + 8, __builtin_bswap64(kTarget));
  EXPECT_TRUE(device_.start_dma(guest_.memory(), kCommand));
  device_.select(0);
  EXPECT_EQ(device_.read_byte(), 0);
  EXPECT_FALSE(device_.start_dma(guest_.memory(), kCommand));
  EXPECT_FALSE(device_.step(guest_.memory()));
  EXPECT_EQ(guest_.at<uint8_t>(kTarget + 199999), 7);
  EXPECT_EQ(guest_.at<uint32_t>(kCommand), 0u);
}

// Commands are the guest's.
TEST_F(FwCfgTest, RefusesWhatIsNotMemory) {
  device_.set(0x40, Bytes(100, 7));
  const uint32_t control = kSelect | kRead | 0x40u << 16;
  EXPECT_EQ(dma(control, 0xfec00000, 4), kError);
  EXPECT_EQ(dma(control, 8 * kMiB - 2, 4), kError) << "beyond the end";
  EXPECT_EQ(guest_.at<uint16_t>(8 * kMiB - 2), 0xaaaa) << "and nothing before it";
  EXPECT_EQ(dma(control, UINT64_MAX - 1, 4), kError) << "around the end";
  EXPECT_EQ(dma(control, UINT64_MAX - 0x10000, 0x20000), kError);
  EXPECT_EQ(dma(control, kTarget, UINT32_MAX), kError);
  EXPECT_FALSE(device_.start_dma(guest_.memory(), 8 * kMiB - 8)) << "the command itself";
  EXPECT_FALSE(device_.start_dma(guest_.memory(), UINT64_MAX - 4));
}

TEST_F(FwCfgTest, ACopyOverItsCommandIsTheGuestsOwnTrouble) {
  device_.set(0x40, Bytes(64, 7));
  EXPECT_EQ(dma(kSelect | kRead | 0x40u << 16, kCommand - 8, 64), 0u);
  EXPECT_EQ(guest_.at<uint32_t>(kCommand + 4), 0x07070707u);
}

TEST_F(FwCfgTest, NothingIsTheGuestsToWrite) {
  device_.set(0x40, Bytes(4, 7));
  EXPECT_EQ(dma(kSelect | kWrite | 0x40u << 16, kTarget, 4), kError);
  EXPECT_EQ(read(0x40, 4), std::string(4, 7));
}

TEST_F(FwCfgTest, ResetEndsACopy) {
  device_.set(0x40, Bytes(200000, 7));
  put<uint32_t>(guest_.ram, kCommand, __builtin_bswap32(kSelect | kRead | 0x40u << 16));
  put<uint32_t>(guest_.ram, kCommand + 4, __builtin_bswap32(200000));
  put<uint64_t>(guest_.ram, kCommand + 8, __builtin_bswap64(kTarget));
  EXPECT_TRUE(device_.start_dma(guest_.memory(), kCommand));
  device_.clear();
  EXPECT_FALSE(device_.step(guest_.memory()));
  EXPECT_EQ(guest_.at<uint8_t>(kTarget), 0xaa);
}

TEST_F(FwCfgTest, GivesAKernelInTwoParts) {
  TemporaryDirectory directory;
  std::vector<uint8_t> image(8192, 0x11);
  image[0x1f1] = 3;
  std::memcpy(image.data() + 0x202, "HdrS", 4);
  const BootFile kernel = directory.file("bzImage", image);
  FirmwareContents contents;
  contents.vcpus = 2;
  contents.kernel = &kernel;
  contents.command_line = "quiet";
  contents.e820 = {{0, kMiB, RangeType::kRam}};
  ASSERT_TRUE(fill_fw_cfg(device_, std::move(contents)));
  EXPECT_EQ(read(FwCfg::kSetupSize, 4), std::string("\0\x8\0\0", 4));
  EXPECT_EQ(read(FwCfg::kKernelSize, 4), std::string("\0\x18\0\0", 4));
  EXPECT_EQ(read(FwCfg::kCommandLineData, 7), std::string("quiet\0\0", 7));
  EXPECT_EQ(read(FwCfg::kCpus, 2), std::string("\2\0", 2));
  const std::string directory_bytes = read(FwCfg::kDirectory, 4 + 8 * 64);
  for (const char* name : {"etc/e820", "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader", "etc/boot-fail-wait"})
    EXPECT_NE(directory_bytes.find(std::string(name) + '\0'), std::string::npos) << name;
}

TEST_F(FwCfgTest, AKernelShorterThanItsHeaderIsRefused) {
  TemporaryDirectory directory;
  std::vector<uint8_t> image(1024, 0x11);
  image[0x1f1] = 200;
  std::memcpy(image.data() + 0x202, "HdrS", 4);
  const BootFile kernel = directory.file("bzImage", image);
  FirmwareContents contents;
  contents.kernel = &kernel;
  EXPECT_FALSE(fill_fw_cfg(device_, std::move(contents)));
}

}  // namespace
}  // namespace nacre::machine
