#include "core/memory/backend.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nacre/memory.hpp>

#include "core/memory/guest_memory.hpp"
#include "core/memory/prealloc.hpp"

namespace nacre {
namespace {

constexpr uint64_t kPage = GuestMemory::kPageSize;
constexpr uint64_t kMiB = 1u << 20;

class BackendTest : public testing::Test {
 protected:
  BackendTest() {
    char name[] = "/tmp/backend_test.XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~BackendTest() override { std::filesystem::remove_all(directory_); }
  std::string path(const char* name) const { return directory_ + "/" + name; }
  std::string make_file(uint64_t size, char fill) const {
    std::ofstream(path("file")) << std::string(size, fill);
    return path("file");
  }
  static std::unique_ptr<GuestMemory> make(std::vector<MemoryPart> parts) {
    auto made = GuestMemory::create(std::move(parts));
    if (!made) ADD_FAILURE() << made.error().message;
    return made ? std::move(*made) : nullptr;
  }
  static std::string refusal(uint64_t size, MemoryOptions options) {
    auto made = GuestMemory::create(size, options);
    return made ? "" : made.error().message;
  }
  static size_t resident(const uint8_t* hva, uint64_t length) {
    std::vector<unsigned char> pages(length / kPage);
    EXPECT_EQ(::mincore(const_cast<uint8_t*>(hva), length, pages.data()), 0);
    return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; }));
  }
  static char byte_at(int fd, uint64_t offset) {
    char byte = '?';
    EXPECT_EQ(::pread(fd, &byte, 1, static_cast<off_t>(offset)), 1);
    return byte;
  }

  std::string directory_;
};

TEST_F(BackendTest, PrivatePartsAreOneRegionUpToTheHole) {
  auto memory = make({{4 * kMiB, {.id = "a"}}, {6 * kMiB, {.id = "b"}}});
  ASSERT_TRUE(memory->place(0, 6 * kMiB));
  ASSERT_TRUE(memory->place(uint64_t{1} << 32, 4 * kMiB));
  ASSERT_EQ(memory->regions().size(), 2u);
  EXPECT_EQ(memory->regions()[0].length, 6 * kMiB);
  EXPECT_EQ(memory->regions()[1].offset, 2 * kMiB);
  EXPECT_EQ(memory->regions()[1].fd, -1);
  EXPECT_FALSE(memory->place(uint64_t{2} << 32, kPage));
  const nacre_memory_view* view = memory->acquire();
  EXPECT_TRUE(sdk::MemoryView(view).translate(4 * kMiB - 1, 2));
  memory->release(view);
}

TEST_F(BackendTest, EachSharedPartHasItsOwnFile) {
  auto memory = make({{4 * kMiB, {.shared = true}}, {2 * kMiB, {}}, {2 * kMiB, {.shared = true}}});
  ASSERT_TRUE(memory->place(0, 8 * kMiB));
  ASSERT_EQ(memory->regions().size(), 3u);
  EXPECT_EQ(memory->regions()[1].fd, -1);
  ASSERT_GE(memory->regions()[0].fd, 0);
  ASSERT_GE(memory->regions()[2].fd, 0);
  EXPECT_NE(memory->regions()[0].fd, memory->regions()[2].fd);
  EXPECT_TRUE(memory->write(4 * kMiB - 1, "xy", 2));
  EXPECT_TRUE(memory->write(6 * kMiB - 1, "uv", 2));
  EXPECT_EQ(byte_at(memory->regions()[0].fd, 4 * kMiB - 1), 'x');
  EXPECT_EQ(byte_at(memory->regions()[2].fd, 0), 'v');
  // A driver may give a device one piece that lies in both.
  const nacre_memory_view* view = memory->acquire();
  const uint8_t* hva = sdk::MemoryView(view).translate(4 * kMiB - 1, 2);
  ASSERT_TRUE(hva);
  EXPECT_EQ(std::string(hva, hva + 2), "xy");
  EXPECT_FALSE(sdk::MemoryView(view).translate(8 * kMiB - 1, 2));
  memory->release(view);
  EXPECT_EQ(memory->discard(4 * kMiB - kPage, 2 * kPage + 2 * kMiB), GuestMemory::Discarded::Done);
  EXPECT_EQ(byte_at(memory->regions()[0].fd, 4 * kMiB - 1), '\0');
  EXPECT_EQ(byte_at(memory->regions()[2].fd, 0), '\0');
}

TEST_F(BackendTest, AFileIsWrittenOnlyWhereItIsShared) {
  const std::string file = make_file(2 * kMiB, 'f');
  for (bool shared : {false, true}) {
    auto memory = make({{2 * kMiB, {.shared = shared, .path = file}}});
    ASSERT_TRUE(memory->place(0, 2 * kMiB));
    EXPECT_TRUE(memory->has_content());
    char byte = 0;
    EXPECT_TRUE(memory->read(kMiB, &byte, 1));
    EXPECT_EQ(byte, 'f');
    EXPECT_TRUE(memory->write(kMiB, "g", 1));
    Fd fd(::open(file.c_str(), O_RDONLY));
    EXPECT_EQ(byte_at(fd.get(), kMiB), shared ? 'g' : 'f');
    EXPECT_EQ(memory->regions()[0].fd >= 0, shared);
    // What is given back reads as zeroes, whatever the file holds.
    EXPECT_EQ(memory->discard(kMiB, kPage), GuestMemory::Discarded::Done);
    EXPECT_TRUE(memory->read(kMiB, &byte, 1));
    EXPECT_EQ(byte, 0);
    EXPECT_EQ(byte_at(fd.get(), kMiB), shared ? '\0' : 'f');
  }
}

TEST_F(BackendTest, AFileThatIsMadeHasNoName) {
  for (const std::string& where : {path("new"), directory_}) {
    auto memory = make({{2 * kMiB, {.shared = true, .path = where}}});
    ASSERT_TRUE(memory->place(0, 2 * kMiB));
    EXPECT_FALSE(memory->has_content());
    EXPECT_TRUE(memory->write(0, "x", 1));
    EXPECT_EQ(byte_at(memory->fd(), 0), 'x');
    EXPECT_TRUE(std::filesystem::is_empty(directory_));
  }
  // One that is there and empty is made long enough, and stays.
  make_file(0, ' ');
  EXPECT_TRUE(make({{2 * kMiB, {.shared = true, .path = path("file")}}}));
  EXPECT_EQ(std::filesystem::file_size(path("file")), 2 * kMiB);
}

TEST_F(BackendTest, RefusesAFileThatWillNotDo) {
  const std::string file = make_file(kMiB, 'f');
  std::string said = refusal(2 * kMiB, {.path = file, .id = "m0"});
  EXPECT_NE(said.find("the memory back end 'm0': Backing file " + file +
                      " does not has sufficient resource for allocating RAM"),
            std::string::npos)
      << said;
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  said = refusal(2 * kMiB, {.path = path("fifo")});
  EXPECT_NE(said.find("neither a regular file nor a directory"), std::string::npos) << said;
  said = refusal(2 * kMiB, {.path = path("no/file")});
  EXPECT_NE(said.find("No such file"), std::string::npos) << said;
  // More than the file system has.
  said = refusal(uint64_t{1} << 42, {.shared = true, .path = directory_});
  EXPECT_NE(said.find("MiB left"), std::string::npos) << said;
}

TEST_F(BackendTest, PreallocatedPagesAreThere) {
  for (const MemoryOptions& options :
       {MemoryOptions{.prealloc = true}, MemoryOptions{.shared = true, .prealloc = true},
        MemoryOptions{.shared = true, .prealloc = true, .path = directory_}, MemoryOptions{.huge_pages = false}}) {
    auto memory = make({{96 * kMiB, options}});
    ASSERT_TRUE(memory->place(0, 96 * kMiB));
    EXPECT_EQ(resident(memory->regions()[0].hva, 96 * kMiB), options.prealloc ? 96 * kMiB / kPage : 0);
  }
}

TEST_F(BackendTest, PreallocationRefusesWhatTheHostHasNot) {
  const std::string text = read_small_file("/proc/meminfo");
  const uint64_t all = meminfo_value(text, "MemTotal") + meminfo_value(text, "SwapTotal");
  const std::string said = refusal(all / kPage * kPage, {.prealloc = true});
  EXPECT_NE(said.find("cannot be preallocated: the host has"), std::string::npos) << said;
}

TEST_F(BackendTest, PopulatingKeepsContentsAndNeverDies) {
  Fd fd(::memfd_create("short", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(fd.get(), 8 * kPage), 0);
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 3 * kPage), 1);
  void* area = ::mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(area, MAP_FAILED);
  auto* at = static_cast<uint8_t*>(area);
  for (auto function : {populate, populate_by_touching}) {
    EXPECT_EQ(function(at, 8 * kPage, kPage), 0);
    EXPECT_EQ(resident(at, 8 * kPage), 8u);
    EXPECT_EQ(at[3 * kPage], 'x');
    EXPECT_EQ(function(at, 16 * kPage, kPage), EFAULT);  // where a store would be a SIGBUS
    ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * kPage, 4 * kPage), 0);
    EXPECT_EQ(resident(at, 8 * kPage), 4u);
  }
  ::munmap(area, 16 * kPage);
}

TEST_F(BackendTest, MemoryIsBoundToTheHostsNodes) {
  auto memory = make({{2 * kMiB, {.policy = HostPolicy::Bind, .host_nodes = {0}}}, {2 * kMiB, {}}});
  ASSERT_TRUE(memory->place(0, 4 * kMiB));
  auto mode = [&](uint64_t gpa) {
    int policy = -1;
    EXPECT_EQ(::syscall(SYS_get_mempolicy, &policy, nullptr, 0, memory->regions()[0].hva + gpa, MPOL_F_ADDR), 0);
    return policy;
  };
  EXPECT_EQ(mode(0), MPOL_BIND);
  EXPECT_EQ(mode(2 * kMiB), MPOL_DEFAULT);
  const std::string said = refusal(2 * kMiB, {.policy = HostPolicy::Interleave, .host_nodes = {0, 900}, .id = "m"});
  EXPECT_NE(said.find("the memory back end 'm' cannot come from node 900"), std::string::npos) << said;
}

TEST_F(BackendTest, HugePagesThatAreNotThereAreRefusedInWords) {
  std::string said = refusal(uint64_t{1} << 39, {.hugetlb = true, .huge_page_size = 2 * kMiB});
  EXPECT_NE(said.find("guest memory needs 262144 huge pages of 2048 KiB, and the host has"), std::string::npos)
      << said;
  said = refusal(3 * kMiB, {.hugetlb = true, .huge_page_size = 2 * kMiB});
  EXPECT_NE(said.find("give it a multiple"), std::string::npos) << said;
  said = refusal(4 * kMiB, {.hugetlb = true, .huge_page_size = 4 * kMiB});
  EXPECT_NE(said.find("cannot have huge pages of 4096 KiB"), std::string::npos) << said;
}

TEST(Meminfo, ReadsWholeNames) {
  const std::string text =
      "Node 1 MemFree:       12 kB\nNode 1 Inactive(file):  7 kB\nNode 1 Active(file):  5 kB\nMemTotal: 3 kB\n";
  EXPECT_EQ(meminfo_value(text, "MemFree"), 12u << 10);
  EXPECT_EQ(meminfo_value(text, "Active(file)"), 5u << 10);
  EXPECT_EQ(meminfo_value(text, "MemTotal"), 3u << 10);
  EXPECT_EQ(meminfo_value(text, "Free"), 0u);
}

}  // namespace
}  // namespace nacre
