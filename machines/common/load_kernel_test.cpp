#include "machines/common/load_kernel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machines/common/fake_guest.hpp"
#include "machines/common/sample_kernels.hpp"

namespace nacre::machine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class LoadKernelTest : public ::testing::Test {
 protected:
  LoadFile loader() {
    return [this](uint64_t gpa, int fd, uint64_t offset, uint64_t length) -> sdk::Status {
      auto to = guest_.memory().bytes(gpa, length);
      if (to.empty()) return sdk::fail("not memory.");
      if (::pread(fd, to.data(), length, static_cast<off_t>(offset)) != static_cast<ssize_t>(length))
        return sdk::fail("short file.");
      return {};
    };
  }
  BootFile zeros(uint64_t size) {
    BootFile file = directory_.file("initrd", Bytes(1));
    EXPECT_EQ(::truncate(file.path().c_str(), static_cast<off_t>(size)), 0);
    return std::move(*BootFile::open(file.path(), "initrd"));
  }

  TemporaryDirectory directory_;
  FakeGuest guest_{64 * kMiB};
};

TEST_F(LoadKernelTest, LoadsSegmentsAndZerosTheRestOfADirtyRam) {
  BootFile kernel = directory_.file("kernel", SampleElf().bytes());
  sdk::Result<KernelImage> image = inspect_kernel(kernel, guest_.layout());
  ASSERT_TRUE(image);
  auto loaded = load_kernel(*image, kernel, BootFile(), guest_.layout(), guest_.memory(), false, loader());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->size, 0u);
  EXPECT_EQ(guest_.at<uint8_t>(0x1000fff), 0x11);
  EXPECT_EQ(guest_.at<uint8_t>(0x1001000), 0xaa);
  EXPECT_EQ(guest_.at<uint8_t>(0x11007ff), 0x22);
  for (uint64_t gpa = 0x1100800; gpa < 0x1101000; ++gpa) ASSERT_EQ(guest_.ram[gpa], 0) << gpa;
  EXPECT_EQ(guest_.at<uint8_t>(0x1101000), 0xaa);
}

TEST_F(LoadKernelTest, LoadsTheInitrdAtTheTop) {
  BootFile kernel = directory_.file("kernel", SampleBzImage().bytes());
  BootFile initrd = directory_.file("initrd", Bytes(5000, 0x77));
  sdk::Result<KernelImage> image = inspect_kernel(kernel, guest_.layout());
  ASSERT_TRUE(image);
  auto loaded = load_kernel(*image, kernel, initrd, guest_.layout(), guest_.memory(), true, loader());
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->gpa, 64 * kMiB - 8192);
  EXPECT_EQ(loaded->size, 5000u);
  EXPECT_EQ(guest_.at<uint8_t>(loaded->gpa + 4999), 0x77);
  EXPECT_EQ(guest_.at<uint8_t>(loaded->gpa + 5000), 0xaa);
}

TEST_F(LoadKernelTest, PlacesAnInitrdWhereTheKernelReachesIt) {
  KernelImage image;
  image.begin = 16 * kMiB;
  image.end = 24 * kMiB;
  const RamLayout ram = RamLayout::split(8 * kGiB, 0xc0000000);
  EXPECT_EQ(place_initrd(image, zeros(4096), ram)->gpa, 0x37fff000u);
  EXPECT_EQ(place_initrd(image, zeros(kGiB), ram)->gpa, 0x40000000u);  // too large below 896 MiB
  image.initrd_last = 0x1fffffff;
  EXPECT_EQ(place_initrd(image, zeros(4097), ram)->gpa, 0x1fffe000u);
}

TEST_F(LoadKernelTest, KeepsTheInitrdClearOfTheKernel) {
  KernelImage image;
  image.begin = 16 * kMiB;
  image.end = 60 * kMiB;
  EXPECT_EQ(place_initrd(image, zeros(4 * kMiB), guest_.layout())->gpa, 60 * kMiB);
  EXPECT_EQ(place_initrd(image, zeros(5 * kMiB), guest_.layout())->gpa, 11 * kMiB);  // below it
  auto refused = place_initrd(image, zeros(16 * kMiB), guest_.layout());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("16 MiB"), HasSubstr("64 MiB"), HasSubstr("-m")));
}

}  // namespace
}  // namespace nacre::machine
