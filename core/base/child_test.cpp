#include "core/base/child.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace nacre {
namespace {

TEST(RunInChild, HandsOverWhatWasSaid) {
  for (const std::string& text : {std::string(), std::string("a word"), std::string(300000, 'x')}) {
    Result<ChildEnd> end = run_in_child([&] { return text; }, 30);
    ASSERT_TRUE(end) << end.error().message;
    EXPECT_TRUE(end->finished);
    EXPECT_TRUE(end->in_time);
    EXPECT_EQ(end->said, text);
    EXPECT_TRUE(WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0);
  }
}

TEST(RunInChild, TellsHowAChildEndsItself) {
  Result<ChildEnd> end = run_in_child([]() -> std::string { std::_Exit(7); }, 30);
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->finished);
  EXPECT_EQ(WEXITSTATUS(end->status), 7);
  end = run_in_child([]() -> std::string { ::kill(::getpid(), SIGKILL), std::_Exit(0); }, 30);
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->finished);
  EXPECT_TRUE(end->in_time);
  EXPECT_EQ(WTERMSIG(end->status), SIGKILL);
}

TEST(RunInChild, EndsWhatHangs) {
  Result<ChildEnd> end = run_in_child(
      []() -> std::string {
        for (;;) ::pause();
      },
      1);
  ASSERT_TRUE(end);
  EXPECT_FALSE(end->in_time);
  EXPECT_FALSE(end->finished);
}

}  // namespace
}  // namespace nacre
