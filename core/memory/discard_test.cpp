#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/memory/guest_memory.hpp"

namespace nacre {
namespace {

using Discarded = GuestMemory::Discarded;
constexpr uint64_t kPage = GuestMemory::kPageSize;
constexpr uint64_t kHole = uint64_t{1} << 32;

// Two adjoining regions of 256 pages each, and a read-only one far away; all bytes 0xee.
class DiscardTest : public testing::TestWithParam<MemoryOptions> {
 protected:
  void SetUp() override {
    auto made = GuestMemory::create(768 * kPage, GetParam());
    ASSERT_TRUE(made) << made.error().message;
    memory_ = std::move(*made);
    ASSERT_TRUE(memory_->place(0, 256 * kPage));
    ASSERT_TRUE(memory_->place(256 * kPage, 256 * kPage));
    ASSERT_TRUE(memory_->place(kHole, 256 * kPage, NACRE_MEMORY_READONLY));
    for (const MemoryRegion& region : memory_->regions()) std::memset(region.hva, 0xee, region.length);
  }
  std::vector<uint8_t> bytes(uint64_t gpa, uint64_t length) {
    std::vector<uint8_t> out(length);
    EXPECT_TRUE(memory_->read(gpa, out.data(), length));
    return out;
  }
  bool all(uint64_t gpa, uint64_t length, uint8_t value) {
    const auto read = bytes(gpa, length);
    return std::all_of(read.begin(), read.end(), [value](uint8_t byte) { return byte == value; });
  }
  // Pages of the first two regions that the host holds.
  size_t resident() {
    std::vector<unsigned char> pages(512);
    EXPECT_EQ(::mincore(memory_->regions()[0].hva, 512 * kPage, pages.data()), 0);
    return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
  }

  std::unique_ptr<GuestMemory> memory_;
};

TEST_P(DiscardTest, GivesWholePagesBackAcrossRegions) {
  const size_t before = resident();
  EXPECT_EQ(before, 512u);
  EXPECT_EQ(memory_->discard(200 * kPage, 100 * kPage), Discarded::Done);
  EXPECT_EQ(resident(), before - 100);
  EXPECT_TRUE(all(200 * kPage, 100 * kPage, 0));
  EXPECT_TRUE(all(0, 200 * kPage, 0xee));
  EXPECT_TRUE(all(300 * kPage, 212 * kPage, 0xee));
  // It is ordinary memory again.
  EXPECT_TRUE(memory_->write(250 * kPage, "x", 1));
  EXPECT_EQ(bytes(250 * kPage, 1)[0], 'x');
}

TEST_P(DiscardTest, FillsPartsOfPagesWithZeroes) {
  EXPECT_EQ(memory_->discard(kPage + 5, 10), Discarded::Done);
  EXPECT_EQ(memory_->discard(3 * kPage - 7, 2 * kPage + 9), Discarded::Done);
  EXPECT_TRUE(all(kPage, 5, 0xee));
  EXPECT_TRUE(all(kPage + 5, 10, 0));
  EXPECT_TRUE(all(kPage + 15, 2 * kPage - 22, 0xee));
  EXPECT_TRUE(all(3 * kPage - 7, 2 * kPage + 9, 0));
  EXPECT_TRUE(all(5 * kPage + 2, kPage, 0xee));
}

TEST_P(DiscardTest, RefusesWhatIsNotRam) {
  const std::pair<uint64_t, uint64_t> cases[] = {
      {512 * kPage, kPage},        {511 * kPage, 2 * kPage}, {kHole, kPage},  {kHole - kPage, 2 * kPage},
      {UINT64_MAX - kPage, kPage}, {UINT64_MAX, 2},          {0, UINT64_MAX}, {kPage, UINT64_MAX}};
  for (auto [gpa, length] : cases) EXPECT_EQ(memory_->discard(gpa, length), Discarded::NotRam) << gpa << " +" << length;
  EXPECT_TRUE(all(0, 512 * kPage, 0xee));
  EXPECT_TRUE(all(kHole, 256 * kPage, 0xee));
}

TEST_P(DiscardTest, WaitsForTheLastPin) {
  memory_->pin();
  memory_->pin();
  memory_->unpin();
  EXPECT_EQ(memory_->discard(0, kPage), Discarded::Pinned);
  EXPECT_TRUE(all(0, kPage, 0xee));
  memory_->unpin();
  EXPECT_EQ(memory_->discard(0, kPage), Discarded::Done);
}

TEST_P(DiscardTest, ReadsAsZeroesWhereAFileWasMapped) {
  int fd = ::memfd_create("file", MFD_CLOEXEC);
  std::vector<uint8_t> content(8 * kPage, 0x77);
  ASSERT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  for (int boot = 0; boot < 2; ++boot) {
    ASSERT_TRUE(memory_->load_file(252 * kPage, fd, 0, 8 * kPage));
    EXPECT_TRUE(all(252 * kPage, 8 * kPage, 0x77));
    EXPECT_EQ(memory_->discard(250 * kPage, 4 * kPage), Discarded::Done);
    EXPECT_EQ(memory_->discard(255 * kPage, 3 * kPage), Discarded::Done);
    EXPECT_TRUE(all(250 * kPage, 4 * kPage, 0));
    EXPECT_TRUE(all(254 * kPage, kPage, 0x77));
    EXPECT_TRUE(all(255 * kPage, 3 * kPage, 0));
    EXPECT_TRUE(all(258 * kPage, 2 * kPage, 0x77));
  }
  ::close(fd);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DiscardTest,
                         testing::Values(MemoryOptions{.huge_pages = false}, MemoryOptions{.huge_pages = true},
                                         MemoryOptions{.shared = true, .dump_guest_core = false},
                                         MemoryOptions{.dump_guest_core = false, .huge_pages = false},
                                         MemoryOptions{.shared = true, .path = testing::TempDir()}));

}  // namespace
}  // namespace nacre
