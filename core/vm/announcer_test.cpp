#include "core/vm/announcer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace nacre {
namespace {

using ::testing::ElementsAre;
using Clock = std::chrono::steady_clock;

class Announce : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error().message;
    loop_ = std::move(*loop);
    announcer_ = std::make_unique<Announcer>(*loop_, [this](const std::vector<std::string>& names) {
      times_.push_back(Clock::now());
      names_ = names;
    });
  }
  // Serves the loop for that long.
  void run(uint64_t milliseconds) {
    Timer* end = loop_->timer([this] { loop_->stop(); });
    loop_->arm(end, milliseconds * 1'000'000);
    loop_->run();
    loop_->destroy(end);
  }
  int64_t gap(size_t n) const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(times_[n + 1] - times_[n]).count();
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Announcer> announcer_;
  std::vector<Clock::time_point> times_;
  std::vector<std::string> names_;
};

TEST_F(Announce, AtOnceAndThenAtGrowingDistances) {
  announcer_->start({.initial = 20, .max = 45, .rounds = 4, .step = 20, .names = {"net0"}});
  ASSERT_EQ(times_.size(), 1u);
  EXPECT_THAT(names_, ElementsAre("net0"));
  for (int i = 0; i < 100 && times_.size() < 4; ++i) run(50);
  run(100);
  ASSERT_EQ(times_.size(), 4u);
  EXPECT_GE(gap(0), 20);
  EXPECT_GE(gap(1), 40);
  EXPECT_GE(gap(2), 45);
}

TEST_F(Announce, NotOnceWhenThatIsWanted) {
  announcer_->start({.rounds = 0});
  run(80);
  EXPECT_TRUE(times_.empty());
}

TEST_F(Announce, ANewPlanEndsTheOld) {
  announcer_->start({.initial = 1, .max = 1, .rounds = 1000, .step = 0, .names = {"old"}});
  announcer_->start({.rounds = 1, .names = {"new"}});
  EXPECT_EQ(times_.size(), 2u);
  run(50);
  EXPECT_EQ(times_.size(), 2u);
  EXPECT_THAT(names_, ElementsAre("new"));
}

}  // namespace
}  // namespace nacre
