#include "machines/common/kernel_image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>

#include "machines/common/fake_guest.hpp"
#include "machines/common/sample_kernels.hpp"

namespace nacre::machine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class KernelImageTest : public ::testing::Test {
 protected:
  sdk::Result<KernelImage> inspect(std::span<const uint8_t> bytes) {
    return inspect_kernel(directory_.file("kernel", bytes), ram_);
  }
  std::string refusal(std::span<const uint8_t> bytes) {
    sdk::Result<KernelImage> image = inspect(bytes);
    return image ? "accepted" : image.error().message;
  }
  std::string open_refusal(const std::string& path) {
    sdk::Result<BootFile> file = BootFile::open(path, "kernel");
    return file ? "accepted" : file.error().message;
  }
  std::string starting_with(std::string_view magic, size_t at = 0) {
    Bytes file(8192, 0x90);
    std::memcpy(file.data() + at, magic.data(), magic.size());
    return refusal(file);
  }

  TemporaryDirectory directory_;
  RamLayout ram_ = RamLayout::split(128 * kMiB, 0xc0000000);
};

TEST_F(KernelImageTest, TakesAnElfKernelByItsEntryPoint) {
  sdk::Result<KernelImage> image = inspect(SampleElf().bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->kind, KernelKind::kElf);
  EXPECT_EQ(image->entry, KernelEntry::kLinux64);
  EXPECT_EQ(image->entry_point, 0x1000010u);
  ASSERT_EQ(image->segments.size(), 2u);
  EXPECT_EQ(image->segments[1].gpa, 0x1100000u);
  EXPECT_EQ(image->segments[1].file_size, 0x800u);
  EXPECT_EQ(image->segments[1].memory_size, 0x1000u);
  EXPECT_EQ(image->begin, 0x1000000u);
  EXPECT_EQ(image->end, 0x1101000u);
}

TEST_F(KernelImageTest, TranslatesAVirtualEntryPoint) {
  SampleElf elf;
  elf.header.e_entry = 0xffffffff81000020;
  sdk::Result<KernelImage> image = inspect(elf.bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->entry_point, 0x1000020u);
}

TEST_F(KernelImageTest, PrefersThePvhEntry) {
  SampleElf elf;
  elf.pvh = 0x1100500;
  sdk::Result<KernelImage> image = inspect(elf.bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->entry, KernelEntry::kPvh);
  EXPECT_EQ(image->entry_point, 0x1100500u);
}

TEST_F(KernelImageTest, TakesABzImage) {
  sdk::Result<KernelImage> image = inspect(SampleBzImage().bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->kind, KernelKind::kBzImage);
  EXPECT_EQ(image->entry, KernelEntry::kLinux64);
  EXPECT_EQ(image->entry_point, 0x1000200u);
  EXPECT_EQ(image->segments[0].file_offset, SampleBzImage::kSetup);
  EXPECT_EQ(image->segments[0].file_size, SampleBzImage::kPacked);
  EXPECT_EQ(image->end, 0x1800000u);
  EXPECT_EQ(image->setup_header.size(), 0x26cu - 0x1f1u);
}

TEST_F(KernelImageTest, EntersOldAndFixedBzImagesAsTheyWant) {
  SampleBzImage fixed;
  fixed.relocatable = 0;
  sdk::Result<KernelImage> image = inspect(fixed.bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->begin, 0x100000u);
  EXPECT_EQ(image->end, 0x1800000u);

  SampleBzImage old;
  old.version = 0x203;
  image = inspect(old.bytes());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->entry, KernelEntry::kLinux32);
  EXPECT_EQ(image->entry_point, 0x100000u);
  EXPECT_EQ(image->command_line_max, 255u);
}

TEST_F(KernelImageTest, TakesAFlatImageOnlyWhenItIsLinux) {
  sdk::Result<KernelImage> image = inspect(sample_flat());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->kind, KernelKind::kFlat);
  EXPECT_EQ(image->entry_point, 0x1000000u);
  EXPECT_THAT(refusal(Bytes(0x3000, 0x90)), HasSubstr("is not a kernel"));
}

TEST_F(KernelImageTest, SaysWhyAFileCannotBeOpened) {
  EXPECT_THAT(open_refusal(directory_.path() + "/none"), HasSubstr("does not exist"));
  EXPECT_THAT(open_refusal(directory_.path()), HasSubstr("is a directory"));
  EXPECT_THAT(open_refusal("/dev/null"), HasSubstr("regular file"));
  EXPECT_THAT(open_refusal(directory_.write("empty", {})), HasSubstr("is empty"));
  if (::geteuid() != 0) {
    const std::string secret = directory_.write("secret", Bytes(1));
    ::chmod(secret.c_str(), 0);
    EXPECT_THAT(open_refusal(secret), HasSubstr("may not be read"));
  }
}

TEST_F(KernelImageTest, SaysWhatAFileIsInstead) {
  using std::string_view_literals::operator""sv;
  EXPECT_THAT(starting_with("\x1f\x8b\x08"sv), HasSubstr("compressed"));
  EXPECT_THAT(starting_with("\x28\xb5\x2f\xfd"sv), HasSubstr("compressed"));
  EXPECT_THAT(starting_with("ARM\x64"sv, 0x38), HasSubstr("AArch64"));
  EXPECT_THAT(starting_with("QFI\xfb"sv), HasSubstr("-drive"));
  EXPECT_THAT(starting_with("070701"sv), HasSubstr("-initrd"));
  EXPECT_THAT(starting_with("\x53\xef"sv, 0x438), HasSubstr("file system"));
  EXPECT_THAT(refusal(Bytes(100, 'x')), HasSubstr("a text file"));

  SampleElf elf;
  elf.header.e_machine = EM_AARCH64;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("for AArch64"));
  elf.header.e_machine = EM_386;
  elf.header.e_ident[EI_CLASS] = ELFCLASS32;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("32-bit x86"));
  elf = SampleElf();
  elf.header.e_type = ET_REL;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("kernel module"));
  elf = SampleElf();
  elf.segments.push_back({PT_TLS, PF_R, 0, 0, 0, 0, 0, 8});
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("user space"));
}

TEST_F(KernelImageTest, Row09RefusesSegmentsThatCannotBe) {
  SampleElf elf;
  elf.segments[0].p_paddr = 0xffff0000;
  elf.segments[0].p_memsz = UINT64_MAX - 0x1000;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("end of the address space"));
  elf = SampleElf();
  elf.segments[1].p_paddr = 0x1000800;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("overlap"));
  elf = SampleElf();
  elf.segments[0].p_filesz = UINT64_MAX;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("truncated"));
  elf = SampleElf();
  elf.segments[0].p_paddr = 0x8000;
  elf.header.e_entry = 0x8000;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("below 1 MiB"));
  elf = SampleElf();
  elf.segments[1].p_paddr = 0x100000000;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("give it more memory"));
  elf = SampleElf();
  elf.header.e_entry = 0x5;
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("entry point"));
  SampleBzImage big;
  big.init_size = 0x20000000;
  EXPECT_THAT(refusal(big.bytes()), AllOf(HasSubstr("528 MiB"), HasSubstr("128 MiB")));
}

TEST_F(KernelImageTest, NoTruncationIsAccepted) {
  SampleElf elf;
  elf.pvh = 0x1000000;
  for (const Bytes& whole : {elf.bytes(), SampleBzImage().bytes()})
    for (size_t size = 1; size < whole.size(); size += size < 1024 ? 7 : 509)
      EXPECT_NE(refusal(std::span(whole).first(size)), "accepted") << size;
}

TEST_F(KernelImageTest, DamagedHeadersEndInWordsOrInAPlaceInsideRam) {
  std::mt19937 random(20);
  SampleElf elf;
  elf.pvh = 0x1000000;
  const Bytes samples[] = {elf.bytes(), SampleBzImage().bytes()};
  for (int round = 0; round < 1000; ++round) {
    Bytes damaged = samples[round % 2];
    const size_t headers = round % 2 ? 0x290 : 0x440;
    for (int flips = 1 + static_cast<int>(random() % 6); flips > 0; --flips)
      damaged[random() % headers] ^= static_cast<uint8_t>(1u << random() % 8);
    sdk::Result<KernelImage> image = inspect(damaged);
    if (!image) {
      EXPECT_FALSE(image.error().message.empty());
      continue;
    }
    EXPECT_GE(image->begin, low::kEnd);
    EXPECT_LE(image->end, ram_.low_end);
    for (const KernelSegment& segment : image->segments) {
      EXPECT_GE(segment.gpa, image->begin);
      EXPECT_LE(segment.gpa + segment.memory_size, image->end);
      EXPECT_LE(segment.file_offset + segment.file_size, damaged.size());
    }
  }
}

}  // namespace
}  // namespace nacre::machine
