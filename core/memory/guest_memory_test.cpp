#include "core/memory/guest_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <nacre/memory.hpp>
#include <numeric>
#include <string>
#include <thread>

namespace nacre {
namespace {

constexpr uint64_t kPage = GuestMemory::kPageSize;
constexpr uint64_t kMiB = 1u << 20;

std::unique_ptr<GuestMemory> make(uint64_t size, MemoryOptions options = {}) {
  auto memory = GuestMemory::create(size, options);
  if (!memory) {
    ADD_FAILURE() << memory.error().message;
    return nullptr;
  }
  return std::move(*memory);
}

// A file whose byte n is a mix of n.
Fd make_file(uint64_t size) {
  Fd fd(::memfd_create("file", MFD_CLOEXEC));
  std::vector<uint8_t> bytes(size);
  for (uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 31 + (i >> 8));
  EXPECT_EQ(::write(fd.get(), bytes.data(), size), static_cast<ssize_t>(size));
  return fd;
}

std::vector<uint8_t> file_bytes(const Fd& fd, uint64_t offset, uint64_t length) {
  std::vector<uint8_t> bytes(length);
  EXPECT_EQ(::pread(fd.get(), bytes.data(), length, static_cast<off_t>(offset)), static_cast<ssize_t>(length));
  return bytes;
}

TEST(GuestMemory, RefusesImpossibleSizes) {
  for (uint64_t size : {uint64_t{0}, uint64_t{1}, kPage + 1, UINT64_MAX, uint64_t{1} << 63})
    EXPECT_FALSE(GuestMemory::create(size, {})) << size;
  auto huge = GuestMemory::create(uint64_t{1} << 50, {});
  ASSERT_FALSE(huge);
  EXPECT_NE(huge.error().message.find("more than this host has"), std::string::npos) << huge.error().message;
}

TEST(GuestMemory, PlacesRegionsInOrderWithoutOverlapOrWrap) {
  auto memory = make(8 * kMiB);
  EXPECT_FALSE(memory->place(0, 0));
  EXPECT_FALSE(memory->place(1, kPage));
  EXPECT_FALSE(memory->place(0, kPage + 1));
  EXPECT_FALSE(memory->place(UINT64_MAX - kPage + 1, kPage));
  EXPECT_TRUE(memory->place(0, 4 * kMiB));
  EXPECT_FALSE(memory->place(kMiB, kMiB));
  EXPECT_FALSE(memory->place(uint64_t{1} << 32, 5 * kMiB));
  EXPECT_TRUE(memory->place(uint64_t{1} << 32, 4 * kMiB));
  ASSERT_EQ(memory->regions().size(), 2u);
  EXPECT_EQ(memory->regions()[1].offset, 4 * kMiB);
  EXPECT_EQ(memory->placed(), 8 * kMiB);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory->regions()[0].hva) % (2 * kMiB), 0u);
}

TEST(GuestMemory, Row07CopiesAcrossAdjoiningRegionsAndNothingElse) {
  auto memory = make(4 * kPage);
  ASSERT_TRUE(memory->place(kPage, kPage));
  ASSERT_TRUE(memory->place(2 * kPage, kPage));
  ASSERT_TRUE(memory->place(4 * kPage, kPage, NACRE_MEMORY_READONLY));
  const std::string text = "across the border";
  std::string back(text.size(), ' ');
  EXPECT_TRUE(memory->write(2 * kPage - 5, text.data(), text.size()));
  EXPECT_TRUE(memory->read(2 * kPage - 5, back.data(), back.size()));
  EXPECT_EQ(back, text);
  EXPECT_FALSE(memory->write(3 * kPage - 1, text.data(), 2));
  EXPECT_FALSE(memory->read(0, back.data(), 1));
  EXPECT_FALSE(memory->read(kPage - 1, back.data(), 2));
  EXPECT_FALSE(memory->read(UINT64_MAX, back.data(), 2));
  EXPECT_FALSE(memory->read(5 * kPage, back.data(), 1));
  EXPECT_TRUE(memory->read(4 * kPage, back.data(), 1));
  EXPECT_FALSE(memory->write(4 * kPage, back.data(), 1));
  EXPECT_TRUE(memory->read(3 * kPage - 1, back.data(), 1));
}

TEST(GuestMemory, BackEndsAdjoinWhateverTheirSizes) {
  std::vector<MemoryPart> parts(2);
  parts[0].size = 3 * kMiB + kPage;
  parts[1].size = 2 * kMiB;
  parts[1].options.shared = true;
  auto memory = GuestMemory::create(std::move(parts));
  ASSERT_TRUE(memory) << memory.error().message;
  ASSERT_TRUE((*memory)->place(0, 5 * kMiB + kPage));
  const auto regions = (*memory)->regions();
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(static_cast<uint8_t*>(regions[0].hva) + regions[0].length, regions[1].hva);
}

TEST(GuestMemory, ViewsStayAsTheyWere) {
  auto memory = make(2 * kPage);
  ASSERT_TRUE(memory->place(0, kPage));
  const nacre_memory_view* before = memory->acquire();
  int changes = 0;
  uint64_t id = memory->subscribe([&] { ++changes; });
  ASSERT_TRUE(memory->place(kPage, kPage));
  const nacre_memory_view* after = memory->acquire();
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(before->n_regions, 1u);
  EXPECT_EQ(after->n_regions, 2u);
  EXPECT_GT(after->generation, before->generation);
  EXPECT_TRUE(sdk::MemoryView(after).translate(kPage, kPage));
  EXPECT_FALSE(sdk::MemoryView(before).translate(kPage, kPage));
  memory->release(before);
  memory->release(after);
  memory->unsubscribe(id);
}

TEST(GuestMemory, ReadersNeverMeetAFreedView) {
  constexpr uint64_t kPages = 400;
  auto memory = make(kPages * kPage);
  ASSERT_TRUE(memory->place(0, kPage));
  std::atomic<bool> end{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&] {
      while (!end.load()) {
        const nacre_memory_view* view = memory->acquire();
        EXPECT_EQ(view->regions[view->n_regions - 1].len, kPage);
        EXPECT_EQ(view->generation, view->n_regions + 1);
        memory->release(view);
      }
    });
  for (uint64_t i = 1; i < kPages; ++i) ASSERT_TRUE(memory->place(i * 2 * kPage, kPage));
  end = true;
  for (auto& reader : readers) reader.join();
}

TEST(GuestMemory, SharedMemoryIsOneSealedFile) {
  auto memory = make(2 * kPage, {.shared = true});
  ASSERT_TRUE(memory->place(0, 2 * kPage));
  ASSERT_GE(memory->fd(), 0);
  EXPECT_LT(::ftruncate(memory->fd(), 0), 0);
  EXPECT_TRUE(::fcntl(memory->fd(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(memory->write(kPage, "x", 1));
  char byte = 0;
  EXPECT_EQ(::pread(memory->fd(), &byte, 1, kPage), 1);
  EXPECT_EQ(byte, 'x');
  const nacre_memory_view* view = memory->acquire();
  EXPECT_EQ(view->regions[0].fd, memory->fd());
  memory->release(view);
}

struct LoadCase {
  bool shared;
  uint64_t gpa, offset, length;
};

struct LoadFile : testing::TestWithParam<LoadCase> {};

TEST_P(LoadFile, GivesTheFilesBytesAgainAfterAReset) {
  const LoadCase& c = GetParam();
  auto memory = make(64 * kPage, {.shared = c.shared, .dump_guest_core = false});
  ASSERT_TRUE(memory->place(0, 32 * kPage));
  ASSERT_TRUE(memory->place(32 * kPage, 32 * kPage));
  Fd file = make_file(40 * kPage);
  const auto expected = file_bytes(file, c.offset, c.length);
  std::vector<uint8_t> before(64 * kPage, 0xee);
  ASSERT_TRUE(memory->write(0, before.data(), before.size()));
  for (int boot = 0; boot < 2; ++boot) {
    Status loaded = memory->load_file(c.gpa, file.get(), c.offset, c.length);
    ASSERT_TRUE(loaded) << loaded.error().message;
    std::vector<uint8_t> all(64 * kPage);
    ASSERT_TRUE(memory->read(0, all.data(), all.size()));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), all.begin() + static_cast<ptrdiff_t>(c.gpa)));
    // Not a byte beside it.
    if (c.gpa > 0) {
      EXPECT_EQ(all[c.gpa - 1], 0xee);
    }
    EXPECT_EQ(all[c.gpa + c.length], 0xee);
    // The guest writes over it; the file stays.
    std::vector<uint8_t> dirt(c.length, 0x55);
    ASSERT_TRUE(memory->write(c.gpa, dirt.data(), dirt.size()));
    EXPECT_EQ(file_bytes(file, c.offset, c.length), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Alignments, LoadFile,
                         testing::Values(LoadCase{false, 0, 0, 8 * kPage}, LoadCase{false, 5, 0, 3 * kPage},
                                         LoadCase{false, 100, 100, 5 * kPage + 7}, LoadCase{false, 100, 100, 20},
                                         LoadCase{false, 30 * kPage, kPage, 4 * kPage + 1},
                                         LoadCase{false, 30 * kPage + 12, kPage + 12, 4 * kPage},
                                         LoadCase{true, kPage, 0, 8 * kPage}, LoadCase{true, 7, 9, 8 * kPage}));

TEST(GuestMemory, MapsWholePagesOfAFile) {
  // Small pages: RAM on huge ones is filled instead.
  auto created = GuestMemory::create(16 * kPage, {.huge_pages = false});
  ASSERT_TRUE(created);
  auto memory = std::move(*created);
  ASSERT_TRUE(memory->place(0, 16 * kPage));
  char path[] = "/tmp/guest_memory_test.XXXXXX";
  Fd file(::mkostemp(path, O_CLOEXEC));
  ASSERT_TRUE(file);
  ::unlink(path);
  ASSERT_EQ(::ftruncate(file.get(), 8 * kPage), 0);
  ASSERT_TRUE(memory->load_file(4 * kPage, file.get(), 0, 8 * kPage));
  std::ifstream maps("/proc/self/maps");
  const std::string all((std::istreambuf_iterator<char>(maps)), {});
  EXPECT_NE(all.find(path), std::string::npos) << all;
}

TEST(GuestMemory, LoadRefusesWhatDoesNotFit) {
  auto memory = make(4 * kPage);
  ASSERT_TRUE(memory->place(0, 2 * kPage));
  ASSERT_TRUE(memory->place(8 * kPage, 2 * kPage));
  Fd file = make_file(2 * kPage);
  EXPECT_FALSE(memory->load_file(0, file.get(), 0, 2 * kPage + 1));
  EXPECT_FALSE(memory->load_file(0, file.get(), UINT64_MAX, 2));
  EXPECT_FALSE(memory->load_file(0, file.get(), 0, UINT64_MAX));
  EXPECT_FALSE(memory->load_file(kPage, file.get(), 0, 2 * kPage));
  EXPECT_FALSE(memory->load_file(UINT64_MAX - 1, file.get(), 0, kPage));
  EXPECT_FALSE(memory->load_file(0, -1, 0, 1));
  EXPECT_TRUE(memory->load_file(8 * kPage, file.get(), 0, 2 * kPage));
}

}  // namespace
}  // namespace nacre
