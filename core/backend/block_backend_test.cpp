#include "core/backend/block_backend.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <memory>
#include <thread>

#include "core/backend/test_files.hpp"

namespace nacre {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

BlockOptions options(const std::string& file, bool readonly = false, bool direct = false) {
  BlockOptions options;
  options.id = "disk0";
  options.file = file;
  options.readonly = readonly;
  options.direct = direct;
  return options;
}

std::string refusal(BlockOptions wanted) {
  auto opened = BlockBackend::open(std::move(wanted));
  return opened ? "opened" : opened.error().message;
}

TEST(BlockOptions, EngineFollowsDirect) {
  BlockOptions wanted = options("x");
  EXPECT_EQ(wanted.engine(), BlockAio::Off);
  wanted.direct = true;
  EXPECT_EQ(wanted.engine(), BlockAio::Native);
  wanted.aio = BlockAio::Threads;
  EXPECT_EQ(wanted.engine(), BlockAio::Threads);
}

TEST(BlockOptions, WhatDoesNotGoTogetherIsRefused) {
  BlockOptions wanted = options("x");
  EXPECT_TRUE(wanted.check());
  wanted.aio = BlockAio::Native;
  EXPECT_THAT(wanted.check().error().message, HasSubstr("native aio type should be used with \"direct\" on"));
  wanted.aio = BlockAio::Off;
  wanted.direct = true;
  EXPECT_THAT(wanted.check().error().message, HasSubstr("low performance expected"));
  wanted.aio = BlockAio::IoUring;
  wanted.iops_total = 1'000'001;
  EXPECT_THAT(wanted.check().error().message, AllOf(HasSubstr("iops-total=1000001"), HasSubstr("1000000")));
  EXPECT_FALSE(options("").check());
}

TEST(BlockOptions, ValuesAreReadAndSuggested) {
  EXPECT_EQ(*parse_block_aio("io_uring"), BlockAio::IoUring);
  EXPECT_THAT(parse_block_aio("io-uring").error().message, AllOf(HasSubstr("'aio'"), HasSubstr("'io_uring'?")));
  EXPECT_EQ(*parse_detect_zeroes("unmap"), DetectZeroes::Unmap);
  EXPECT_FALSE(parse_detect_zeroes("yes"));
  EXPECT_TRUE(*parse_block_discard("unmap"));
  EXPECT_FALSE(*parse_block_discard("ignore"));
  EXPECT_STREQ(to_string(BlockAio::Native), "native");
}

TEST(BlockBackend, SaysWhyAnImageCannotBeUsed) {
  TestDirectory dir;
  EXPECT_THAT(refusal(options(dir.path("none"))), AllOf(HasSubstr("'disk0'"), HasSubstr("there is no file")));
  EXPECT_THAT(refusal(options(dir.path(""))), HasSubstr("is a directory"));
  ASSERT_EQ(::mkfifo(dir.path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refusal(options(dir.path("fifo"))), HasSubstr("is a FIFO"));
  EXPECT_THAT(refusal(options("/dev/null")), HasSubstr("is a character device"));
  EXPECT_THAT(refusal(options(dir.file("below", 512) + "/x")), HasSubstr("cannot open"));
}

TEST(BlockBackend, ShowsWholeSectorsOnly) {
  TestDirectory dir;
  for (auto [bytes, capacity] : {std::pair{511, 0}, {1000, 512}, {1024, 1024}}) {
    auto opened = BlockBackend::open(options(dir.file("odd", static_cast<size_t>(bytes))));
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ((*opened)->capacity(), static_cast<uint64_t>(capacity));
  }
}

TEST(BlockBackend, PermissionIsNamed) {
  if (::geteuid() == 0) {
    // Root may open anything: another user tries.
    TestDirectory dir;
    std::string file = dir.file("secret", 512);
    ::chmod(file.c_str(), 0600);
    ::chmod(dir.path("").c_str(), 0755);
    pid_t child = ::fork();
    if (child == 0) {
      if (::setuid(65534) != 0) ::_exit(2);
      std::string words = refusal(options(file));
      ::_exit(words.find("no permission to open") != std::string::npos ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return;
  }
  TestDirectory dir;
  std::string file = dir.file("secret", 512);
  ::chmod(file.c_str(), 0);
  EXPECT_THAT(refusal(options(file)), HasSubstr("no permission to open"));
}

TEST(BlockBackend, DirectNeedsAFileSystemThatCan) {
  char path[] = "/dev/shm/nacre-direct-XXXXXX";
  int fd = ::mkstemp(path);
  if (fd < 0) return;  // no such file system here, nothing to be refused
  ASSERT_EQ(::ftruncate(fd, 4096), 0);
  ::close(fd);
  BlockOptions wanted = options(path, false, true);
  auto opened = BlockBackend::open(wanted);
  // Newer kernels give tmpfs direct I/O.
  if (!opened) {
    EXPECT_THAT(opened.error().message, AllOf(HasSubstr("O_DIRECT"), HasSubstr("use direct=off")));
  }
  ::unlink(path);
}

TEST(BlockBackend, DescribesTheDisk) {
  TestDirectory dir;
  BlockOptions wanted = options(dir.file("disk", 8192));
  wanted.discard = true;
  wanted.detect_zeroes = DetectZeroes::On;
  auto disk = BlockBackend::open(wanted);
  ASSERT_TRUE(disk) << disk.error().message;
  nacre_block_info info{};
  info.size = sizeof info;
  (*disk)->describe(info);
  EXPECT_EQ(info.capacity, 8192u);
  EXPECT_EQ(info.alignment, 1u);
  EXPECT_TRUE(info.discard);
  EXPECT_TRUE(info.write_zeroes);
  EXPECT_FALSE(info.readonly);
  EXPECT_EQ(info.request_size, sizeof(nacre_block_request));
  // A reader of an older contract has room for less.
  nacre_block_info old{};
  old.size = 16;
  old.alignment = 77;
  (*disk)->describe(old);
  EXPECT_EQ(old.capacity, 8192u);
  EXPECT_EQ(old.alignment, 77u);
}

TEST(BlockBackend, TwoDrivesShareAFileOnlyForReading) {
  TestDirectory dir;
  std::string file = dir.file("disk", 4096);
  auto first = BlockBackend::open(options(file, true));
  ASSERT_TRUE(first);
  auto second = BlockBackend::open(options(file, true));
  EXPECT_TRUE(second);
  EXPECT_THAT(refusal(options(file)), AllOf(HasSubstr("drive 'disk0' of this machine"), HasSubstr("readonly=on")));
  *first = nullptr;
  *second = nullptr;
  auto writer = BlockBackend::open(options(file));
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_EQ(::link(file.c_str(), dir.path("alias").c_str()), 0);
  EXPECT_THAT(refusal(options(dir.path("alias"), true)), HasSubstr("of this machine"));
}

// What another process gets when this one has the file open like that.
std::string refusal_elsewhere(const std::string& file, bool readonly) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  pid_t child = ::fork();
  if (child == 0) {
    // It inherits the table of this one's drives, and so names the drive; the lock would refuse as well.
    std::string words = refusal(options(file, readonly));
    [[maybe_unused]] ssize_t n = ::write(ends[1], words.data(), words.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string words(4096, 0);
  ssize_t n = ::read(ends[0], words.data(), words.size());
  ::close(ends[0]);
  words.resize(n > 0 ? static_cast<size_t>(n) : 0);
  ::waitpid(child, nullptr, 0);
  return words;
}

// Opens the image in another process until release() is called.
class OtherProcess {
 public:
  OtherProcess(const std::string& file, bool readonly) {
    EXPECT_EQ(::pipe(ready_), 0);
    EXPECT_EQ(::pipe(end_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(end_[1]);
      auto disk = BlockBackend::open(options(file, readonly));
      char word = disk ? 'y' : 'n';
      [[maybe_unused]] ssize_t n = ::write(ready_[1], &word, 1);
      n = ::read(end_[0], &word, 1);
      ::_exit(0);
    }
    ::close(end_[0]);
    EXPECT_EQ(::read(ready_[0], &answer_, 1), 1);
  }
  ~OtherProcess() {
    ::close(end_[1]);
    ::close(ready_[0]);
    ::close(ready_[1]);
    ::waitpid(child_, nullptr, 0);
  }
  bool has_it() const { return answer_ == 'y'; }

 private:
  int ready_[2];
  int end_[2];
  pid_t child_;
  char answer_ = 0;
};

TEST(BlockBackend, AnotherProcessIsLockedOut) {
  TestDirectory dir;
  std::string file = dir.file("disk", 4096);
  {
    OtherProcess writer(file, false);
    ASSERT_TRUE(writer.has_it());
    EXPECT_THAT(refusal(options(file)), HasSubstr("another process uses it"));
    EXPECT_THAT(refusal(options(file, true)), HasSubstr("another process uses it"));
  }
  EXPECT_EQ(refusal(options(file)), "opened");
  {
    auto leaving = std::make_unique<OtherProcess>(file, false);
    ASSERT_TRUE(leaving->has_it());
    std::thread soon([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      leaving.reset();
    });
    BlockOptions patient = options(file);
    patient.wait_for_lock = true;
    EXPECT_EQ(refusal(patient), "opened");
    soon.join();
  }
  {
    OtherProcess reader(file, true);
    ASSERT_TRUE(reader.has_it());
    EXPECT_THAT(refusal(options(file)), HasSubstr("another process uses it"));
    EXPECT_EQ(refusal(options(file, true)), "opened");
  }
  auto here = BlockBackend::open(options(file));
  ASSERT_TRUE(here);
  EXPECT_THAT(refusal_elsewhere(file, true), HasSubstr("failed to get the read lock"));
}

}  // namespace
}  // namespace nacre
