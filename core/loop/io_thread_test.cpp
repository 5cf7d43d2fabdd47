#include "core/loop/io_thread.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace nacre {
namespace {

size_t entries(const char* directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

TEST(IoThread, HasItsNameAndItsLoop) {
  auto thread = IoThread::start("iothread-with-a-long-name");
  ASSERT_TRUE(thread) << thread.error().message;
  std::ifstream comm("/proc/self/task/" + std::to_string((*thread)->thread_id()) + "/comm");
  std::string name;
  std::getline(comm, name);
  EXPECT_EQ(name, "iothread-with-a");
  bool inside = false;
  (*thread)->loop().call([&] { inside = (*thread)->loop().is_current(); });
  EXPECT_TRUE(inside);
  EXPECT_FALSE((*thread)->loop().is_current());
}

TEST(IoThread, UnwatchFromOutsideIsFinal) {
  auto thread = IoThread::start("io");
  ASSERT_TRUE(thread);
  EventLoop& loop = (*thread)->loop();
  for (int round = 0; round < 200; ++round) {
    Fd fd(::eventfd(1, EFD_NONBLOCK));
    auto calls = std::make_unique<int>(0);
    auto watch = loop.watch(fd.get(), EventLoop::kRead, [&](uint32_t) { ++*calls; });
    ASSERT_TRUE(watch);
    loop.unwatch(*watch);
    calls.reset();  // a late call would be seen by the sanitizers
  }
}

TEST(IoThread, TwoLoopsMayCallEachOther) {
  auto main = EventLoop::create();
  ASSERT_TRUE(main);
  auto thread = IoThread::start("io");
  ASSERT_TRUE(thread);
  EventLoop& io = (*thread)->loop();
  int back = 0, there = 0;
  for (int i = 0; i < 500; ++i) {
    io.post([&] { (*main)->call([&] { ++back; }); });
    io.call([&] { ++there; });
  }
  EXPECT_TRUE((*main)->run_posted_until([&] { return back == 500; }, std::chrono::seconds(20)));
  EXPECT_EQ(there, 500);
}

TEST(IoThread, LeavesNoThreadAndNoDescriptor) {
  { auto warm = IoThread::start("warm"); }
  size_t threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
  for (int i = 0; i < 100; ++i) {
    auto thread = IoThread::start("io");
    ASSERT_TRUE(thread);
    (*thread)->loop().post([] {});
  }
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), fds);
}

}  // namespace
}  // namespace nacre
