#include "core/loop/event_loop.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>

#include "core/loop/clock.hpp"

namespace nacre {
namespace {

using namespace std::chrono_literals;

void signal(const Fd& fd) {
  uint64_t one = 1;
  ASSERT_EQ(::write(fd.get(), &one, sizeof one), 8);
}

struct EventLoopTest : testing::Test {
  void SetUp() override {
    auto made = EventLoop::create();
    ASSERT_TRUE(made) << made.error().message;
    loop = std::move(*made);
  }
  std::unique_ptr<EventLoop> loop;
};

TEST_F(EventLoopTest, StopBeforeRunReturnsAtOnce) {
  loop->stop();
  loop->run();
  EXPECT_TRUE(loop->is_current());
  EXPECT_EQ(EventLoop::current(), loop.get());
}

TEST_F(EventLoopTest, EdgeWatchNeedNotBeRead) {
  Fd fd(::eventfd(0, EFD_NONBLOCK));
  int calls = 0;
  auto watch = loop->watch(fd.get(), EventLoop::kRead | EventLoop::kEdge, [&](uint32_t events) {
    EXPECT_EQ(events, EventLoop::kRead);
    if (++calls == 3)
      loop->stop();
    else
      signal(fd);
  });
  ASSERT_TRUE(watch) << watch.error().message;
  signal(fd);
  loop->run();
  EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, ARemovedWatchIsNotCalledThoughItsEventWasFetched) {
  Fd fds[2] = {Fd(::eventfd(1, EFD_NONBLOCK)), Fd(::eventfd(1, EFD_NONBLOCK))};
  Watch* watches[2] = {};
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    auto watch = loop->watch(fds[i].get(), EventLoop::kRead, [&](uint32_t) {
      ++calls;
      // Both, the running one included: its captures must live on until it returns.
      for (Watch* each : watches) loop->unwatch(each);
      loop->post([&] { loop->stop(); });
    });
    ASSERT_TRUE(watch);
    watches[i] = *watch;
  }
  loop->run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, ModifyAsksForOtherEvents) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  Fd read_end(ends[0]), write_end(ends[1]);
  uint32_t seen = 0;
  auto watch = loop->watch(write_end.get(), 0, [&](uint32_t events) {
    seen = events;
    loop->stop();
  });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(loop->modify(*watch, EventLoop::kWrite));
  loop->run();
  EXPECT_EQ(seen, EventLoop::kWrite);
  ASSERT_TRUE(loop->modify(*watch, 0));
  read_end.close();
  loop->run();
  EXPECT_TRUE(seen & EventLoop::kError);
}

TEST_F(EventLoopTest, RefusesARegularFileInWords) {
  Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  auto watch = loop->watch(file.get(), EventLoop::kRead, [](uint32_t) {});
  ASSERT_FALSE(watch);
  EXPECT_NE(watch.error().message.find("regular file"), std::string::npos) << watch.error().message;
}

TEST_F(EventLoopTest, TimersExpireInOrderAndCanBeStoppedAndReplaced) {
  std::string order;
  Timer* last = loop->timer([&] {
    order += 'd';
    loop->stop();
  });
  Timer* a = loop->timer([&] { order += 'a'; });
  Timer* never = loop->timer([&] { order += '!'; });
  Timer* b = loop->timer([&] {
    order += 'b';
    loop->destroy(never);
  });
  loop->arm(last, 30'000'000);
  loop->arm(b, 10'000'000);
  loop->arm(never, 20'000'000);
  loop->arm(a, 50'000'000);
  loop->arm(a, 5'000'000);
  Timer* stopped = loop->timer([&] { order += '?'; });
  loop->arm(stopped, 1'000'000);
  loop->arm(stopped, 0);
  auto begin = std::chrono::steady_clock::now();
  loop->run();
  EXPECT_EQ(order, "abd");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
}

TEST_F(EventLoopTest, ManyTimersKeepTheirOrder) {
  std::vector<uint64_t> seen;
  std::vector<Timer*> timers;
  for (uint64_t i = 0; i < 200; ++i) timers.push_back(loop->timer([&seen, i] { seen.push_back(i); }));
  // By times of their own, however long it takes to arm them.
  const uint64_t begin = monotonic_ns() + 100'000'000;
  for (uint64_t i = 0; i < 200; ++i) loop->arm(timers[i], begin + ((i * 7919) % 200) * 500'000 - monotonic_ns());
  for (uint64_t i = 0; i < 200; i += 3) loop->destroy(timers[i]);
  Timer* end = loop->timer([&] { loop->stop(); });
  loop->arm(end, begin + 150'000'000 - monotonic_ns());
  loop->run();
  EXPECT_EQ(seen.size(), 133u);
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_LT((seen[i - 1] * 7919) % 200, (seen[i] * 7919) % 200);
}

TEST_F(EventLoopTest, NoPostIsLostAndEachThreadsOrderIsKept) {
  constexpr int kThreads = 3, kPosts = 5000;
  int next[kThreads] = {};
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i)
        loop->post([&, t, i] {
          EXPECT_EQ(next[t]++, i);
          if (++total == kThreads * kPosts) loop->stop();
        });
    });
  loop->run();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(total, kThreads * kPosts);
}

TEST_F(EventLoopTest, DropsWhatItsOwnerHasPosted) {
  int mine = 0, others = 0;
  loop->post([&] { ++mine; }, &mine);
  loop->post([&] { ++others; }, &others);
  loop->post([&] { ++mine; }, &mine);
  loop->post([&] { ++others; });
  loop->drop(&mine);
  loop->post([&] { loop->stop(); });
  loop->run();
  EXPECT_EQ(mine, 0);
  EXPECT_EQ(others, 2);
}

TEST_F(EventLoopTest, WaitingForAThreadThatCallsDoesNotDeadlock) {
  std::atomic<bool> done{false};
  bool called = false;
  std::thread other([&] {
    loop->call([&] {
      EXPECT_TRUE(loop->is_current());
      called = true;
    });
    done = true;
    loop->wake();
  });
  EXPECT_TRUE(loop->run_posted_until([&] { return done.load(); }));
  EXPECT_TRUE(called);
  other.join();
}

TEST_F(EventLoopTest, WaitingNestsInsideAPostWithOthersBehindIt) {
  std::string order;
  bool inner = false;
  loop->post([&] {
    order += '(';
    EXPECT_TRUE(loop->run_posted_until([&] { return inner; }));
    order += ')';
    loop->stop();
  });
  loop->post([&] {
    order += 'x';
    inner = true;
  });
  loop->run();
  EXPECT_EQ(order, "(x)");
}

TEST_F(EventLoopTest, WaitingGivesUpAfterItsTime) {
  EXPECT_FALSE(loop->run_posted_until([] { return false; }, 5ms));
  EXPECT_TRUE(loop->run_posted_until([] { return true; }, 0ms));
}

TEST_F(EventLoopTest, WhatRunsAloneDoesNotRunInsideAWait) {
  std::string order;
  loop->post([&] {
    loop->post_alone([&] {
      order += "alone ";
      loop->stop();
    });
    loop->post([&] { order += "post "; });
    EXPECT_FALSE(loop->run_posted_until([] { return false; }, std::chrono::milliseconds(5)));
    order += "waited ";
  });
  loop->run();
  EXPECT_EQ(order, "post waited alone ");
}

TEST_F(EventLoopTest, WatchesAreNotServedWhileWaiting) {
  Fd fd(::eventfd(1, EFD_NONBLOCK));
  bool served = false;
  ASSERT_TRUE(loop->watch(fd.get(), EventLoop::kRead, [&](uint32_t) { served = true; }));
  EXPECT_FALSE(loop->run_posted_until([] { return false; }, 5ms));
  EXPECT_FALSE(served);
}

}  // namespace
}  // namespace nacre
