#include "machines/common/x86_boot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machines/common/fake_guest.hpp"
#include "machines/common/sample_kernels.hpp"

namespace nacre::machine {
namespace {

using ::testing::HasSubstr;

class X86BootTest : public ::testing::Test {
 protected:
  KernelImage inspect(std::span<const uint8_t> bytes) {
    auto image = inspect_kernel(directory_.file("kernel", bytes), guest_.layout());
    EXPECT_TRUE(image);
    return *image;
  }
  BootInfo info() { return {"console=ttyS0", {0x3f00000, 0x1234}, guest_.layout(), 0xe0000}; }
  // Follows the page tables as the processor does.
  uint64_t translate(uint64_t address) {
    uint64_t pml4e = guest_.at<uint64_t>(0x9000 + (address >> 39 & 511) * 8);
    if (!(pml4e & 1)) return UINT64_MAX;
    uint64_t pdpte = guest_.at<uint64_t>((pml4e & ~4095ull) + (address >> 30 & 511) * 8);
    if (!(pdpte & 1)) return UINT64_MAX;
    uint64_t pde = guest_.at<uint64_t>((pdpte & ~4095ull) + (address >> 21 & 511) * 8);
    if ((pde & 0x83) != 0x83) return UINT64_MAX;
    return (pde & ~0x1fffffull) | (address & 0x1fffff);
  }

  TemporaryDirectory directory_;
  FakeGuest guest_{64 * kMiB};
};

TEST_F(X86BootTest, EntersAnElfKernelIn64BitMode) {
  KernelImage image = inspect(SampleElf().bytes());
  auto state = prepare_boot(image, info(), guest_.memory());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->rip, 0x1000010u);
  EXPECT_EQ(state->rsi, 0x7000u);
  EXPECT_EQ(state->rsp, 0x8ff0u);
  EXPECT_EQ(state->cr3, 0x9000u);
  EXPECT_EQ(state->cr4 & 0x20, 0x20u);
  EXPECT_EQ(state->efer, 0x500u);
  EXPECT_EQ(state->rflags, 2u);
  EXPECT_EQ(state->cs.access, 0xa9b);  // long, present, code
  EXPECT_EQ(state->cs.selector, 0x10);
  EXPECT_EQ(state->ds.selector, 0x18);
  EXPECT_EQ(guest_.at<uint64_t>(0x510), 0x00af9b000000ffffu);
  EXPECT_EQ(guest_.at<uint64_t>(0x518), 0x00cf93000000ffffu);
  EXPECT_EQ(guest_.text(0x20000, 14), std::string("console=ttyS0\0", 14));

  EXPECT_EQ(guest_.at<uint64_t>(0x7070), 0xe0000u);
  EXPECT_EQ(guest_.at<uint8_t>(0x71ef), 0);  // the sentinel
  EXPECT_EQ(guest_.at<uint16_t>(0x71fe), 0xaa55);
  EXPECT_EQ(guest_.text(0x7202, 4), "HdrS");
  EXPECT_EQ(guest_.at<uint8_t>(0x7210), 0xff);
  EXPECT_EQ(guest_.at<uint32_t>(0x7218), 0x3f00000u);
  EXPECT_EQ(guest_.at<uint32_t>(0x721c), 0x1234u);
  EXPECT_EQ(guest_.at<uint32_t>(0x7228), 0x20000u);
  ASSERT_EQ(guest_.at<uint8_t>(0x71e8), 4);
  EXPECT_EQ(guest_.at<uint64_t>(0x72d0 + 3 * 20), 0x100000u);
  EXPECT_EQ(guest_.at<uint64_t>(0x72d0 + 3 * 20 + 8), 63 * kMiB);
  EXPECT_EQ(guest_.at<uint32_t>(0x72d0 + 3 * 20 + 16), 1u);
}

TEST_F(X86BootTest, MapsWhatTheKernelNeeds) {
  ASSERT_TRUE(write_page_tables(1, guest_.memory()));
  EXPECT_EQ(translate(0x3fffffff), 0x3fffffffu);
  EXPECT_EQ(translate(0x40000000), UINT64_MAX);
  EXPECT_EQ(translate(kGiB * 512), UINT64_MAX);
  ASSERT_TRUE(write_page_tables(0x90000000, guest_.memory()));
  EXPECT_EQ(translate(0x8fffffff), 0x8fffffffu);
  EXPECT_EQ(translate(0xc0000000), UINT64_MAX);
}

TEST_F(X86BootTest, KeepsTheSetupHeaderOfABzImage) {
  auto state = prepare_boot(inspect(SampleBzImage().bytes()), info(), guest_.memory());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->rip, 0x1000200u);
  EXPECT_EQ(guest_.at<uint8_t>(0x71f1), 4);
  EXPECT_EQ(guest_.at<uint16_t>(0x7206), 0x20f);
  EXPECT_EQ(guest_.at<uint32_t>(0x7214), 0x1000000u);
  EXPECT_EQ(guest_.at<uint32_t>(0x7260), 0x800000u);
  EXPECT_EQ(guest_.at<uint8_t>(0x7210), 0xff);
}

TEST_F(X86BootTest, EntersAnOldBzImageIn32BitMode) {
  SampleBzImage old;
  old.version = 0x203;
  auto state = prepare_boot(inspect(old.bytes()), info(), guest_.memory());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->rip, 0x100000u);
  EXPECT_EQ(state->rsi, 0x7000u);
  EXPECT_EQ(state->cr0 & 0x80000001, 1u);
  EXPECT_EQ(state->efer, 0u);
  EXPECT_EQ(state->cs.access, 0xc9b);
}

TEST_F(X86BootTest, EntersAPvhKernelWithItsStartInfo) {
  SampleElf elf;
  elf.pvh = 0x1000040;
  auto state = prepare_boot(inspect(elf.bytes()), info(), guest_.memory());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->rip, 0x1000040u);
  EXPECT_EQ(state->rbx, 0x6000u);
  EXPECT_EQ(state->cr0 & 0x80000001, 1u);
  EXPECT_EQ(state->cr4, 0u);
  EXPECT_EQ(state->cs.access, 0xc9b);
  EXPECT_EQ(state->cs.limit, 0xffffffffu);
  EXPECT_EQ(state->tr.limit, 0x67u);
  EXPECT_EQ(guest_.at<uint32_t>(0x6000), 0x336ec578u);
  EXPECT_EQ(guest_.at<uint32_t>(0x6004), 1u);
  EXPECT_EQ(guest_.at<uint32_t>(0x600c), 1u);
  const uint64_t module = guest_.at<uint64_t>(0x6010);
  EXPECT_EQ(guest_.at<uint64_t>(module), 0x3f00000u);
  EXPECT_EQ(guest_.at<uint64_t>(module + 8), 0x1234u);
  EXPECT_EQ(guest_.at<uint64_t>(module + 16), 0u);
  EXPECT_EQ(guest_.at<uint64_t>(0x6018), 0x20000u);
  EXPECT_EQ(guest_.at<uint64_t>(0x6020), 0xe0000u);
  const uint64_t map = guest_.at<uint64_t>(0x6028);
  ASSERT_EQ(guest_.at<uint32_t>(0x6030), 4u);
  EXPECT_EQ(guest_.at<uint64_t>(map + 3 * 24), 0x100000u);
  EXPECT_EQ(guest_.at<uint64_t>(map + 3 * 24 + 8), 63 * kMiB);
}

TEST_F(X86BootTest, RefusesACommandLineThatTheKernelWouldCut) {
  KernelImage image = inspect(SampleElf().bytes());
  BootInfo boot = info();
  const std::string most(2047, 'x');
  boot.command_line = most;
  EXPECT_TRUE(prepare_boot(image, boot, guest_.memory()));
  const std::string more(2048, 'x');
  boot.command_line = more;
  auto refused = prepare_boot(image, boot, guest_.memory());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("2048 bytes"));
}

TEST_F(X86BootTest, TheMapHasTheGap) {
  const auto map = memory_map(RamLayout::split(5 * kGiB, 0xc0000000));
  ASSERT_EQ(map.size(), 5u);
  EXPECT_EQ(map[3].base + map[3].length, 0xc0000000u);
  EXPECT_EQ(map[4].base, 4 * kGiB);
  EXPECT_EQ(map[4].length, 2 * kGiB);
  const MemoryRange hole{0xe0000000, kMiB, RangeType::kReserved};
  const auto with_hole = memory_map(RamLayout::split(5 * kGiB, 0xc0000000), {hole});
  ASSERT_EQ(with_hole.size(), 6u);
  EXPECT_EQ(with_hole[4].base, hole.base);
  EXPECT_EQ(with_hole[5].base, 4 * kGiB);
}

}  // namespace
}  // namespace nacre::machine
