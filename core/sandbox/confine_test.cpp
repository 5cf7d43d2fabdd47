// The kernel's side: what a confined process can do and what it cannot, with what the C library, the C++ library and
// the run times of sanitizers call unasked.
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/base/child.hpp"
#include "core/base/log.hpp"
#include "core/sandbox/sandbox.hpp"
#include "gtest/gtest.h"

namespace nacre::sandbox {
namespace {

constexpr unsigned kSeconds = 60;

// What any thread may do without a thought.
void live() {
  for (size_t bytes = 64; bytes <= 64 << 20; bytes <<= 4) std::vector<char> memory(bytes, 'x');
  try {
    throw std::runtime_error("of no matter");
  } catch (const std::exception&) {
  }
  std::this_thread::sleep_for(std::chrono::microseconds(10));
  std::this_thread::yield();
  log::debug("sandbox", "{} lives", kind_words());
}

// In a process of its own: confines it and runs `body` on a thread of that kind. What it says is empty when all was
// done.
ChildEnd confined_run(Kind kind, const Options& options, const std::function<void()>& body) {
  Result<ChildEnd> end = run_in_child(
      [&]() -> std::string {
        ::signal(SIGSYS, SIG_DFL);
        if (Status confined = confine(options); !confined) return confined.error().message;
        if (kind == Kind::Main) {
          body();
          return "";
        }
        std::thread([&] {
          narrow(kind);
          body();
        }).join();
        return "";
      },
      kSeconds);
  return end ? std::move(*end) : ChildEnd{.said = end.error().message};
}

bool ended_well(const ChildEnd& end) {
  return end.finished && end.said.empty();
}

class EachKind : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Confine, EachKind,
                         testing::Values(Kind::Own, Kind::Main, Kind::IoThread, Kind::Vcpu, Kind::Worker));

TEST_P(EachKind, Lives) {
  const ChildEnd end = confined_run(GetParam(), {}, live);
  EXPECT_TRUE(ended_well(end)) << end.said << " status " << end.status;
}

TEST_P(EachKind, IsEndedByACallThatIsNotListed) {
  const ChildEnd end = confined_run(GetParam(), {}, [] { ::getsid(0); });
  EXPECT_TRUE(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGSYS) << end.said << " status " << end.status;
}

TEST_P(EachKind, MakesWhatPluginsDeclareUnlessItRunsNoneOfTheirCode) {
  const Options options{.extra = {SYS_getsid}};
  const ChildEnd end = confined_run(GetParam(), options, [] { ::getsid(0); });
  EXPECT_EQ(ended_well(end), GetParam() != Kind::Worker) << end.said << " status " << end.status;
}

TEST(Confine, ReachesThreadsThatWereThereBefore) {
  Result<ChildEnd> end = run_in_child(
      []() -> std::string {
        ::signal(SIGSYS, SIG_DFL);
        std::atomic<bool> on{false};
        std::thread before([&] {
          while (!on) std::this_thread::yield();
          ::getsid(0);
        });
        const Status confined = confine({});
        on = true;
        before.join();
        return confined ? "it was not ended" : confined.error().message;
      },
      kSeconds);
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_TRUE(WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGSYS) << end->said;
}

TEST(Confine, ThreadsMakeThreads) {
  for (Kind kind : {Kind::Main, Kind::IoThread}) {
    const ChildEnd end = confined_run(kind, {}, [] {
      std::thread([] {
        narrow(Kind::Worker);
        live();
      }).join();
    });
    EXPECT_TRUE(ended_well(end)) << end.said << " status " << end.status;
  }
}

TEST(Confine, SaysWhatPluginsMayStillAsk) {
  const ChildEnd end = confined_run(Kind::Main, {.extra = {SYS_getsid}}, [] {
    if (!confined() || !allows(SYS_read) || !allows(SYS_getsid) || allows(SYS_acct) || allows(SYS_ioctl)) ::_exit(1);
  });
  EXPECT_TRUE(ended_well(end)) << end.said << " status " << end.status;
}

}  // namespace
}  // namespace nacre::sandbox
