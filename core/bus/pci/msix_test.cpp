#include "core/bus/pci/msix.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "core/bus/pci/test_pci.hpp"

namespace nacre::pci {
namespace {

class MsixTest : public testing::Test {
 protected:
  MsixTest() : msix_(70, &listener_) {
    config_.writable(kCommand, 2, 0xffff);
    at_ = msix_.add_capability(config_, 1, 0, 0x800);
  }
  void control(uint16_t value, bool master = true) {
    config_.write(kCommand, 2, master ? kBusMaster : 0);
    config_.write(at_ + 2, 2, value);
    msix_.follow(config_);
  }
  void program(uint32_t vector, uint64_t address, uint32_t data, uint32_t masked) {
    msix_.write_table(vector * 16, 8, address);
    msix_.write_table(vector * 16 + 8, 4, data);
    msix_.write_table(vector * 16 + 12, 4, masked);
  }

  ConfigSpace config_;
  Listener listener_;
  Msix msix_;
  uint32_t at_;
};

constexpr uint16_t kOn = 1 << 15, kMaskAll = 1 << 14;

TEST_F(MsixTest, Describes) {
  EXPECT_EQ(config_.get8(at_), 0x11);
  EXPECT_EQ(config_.get16(at_ + 2), 69);
  EXPECT_EQ(config_.get32(at_ + 4), 1u);
  EXPECT_EQ(config_.get32(at_ + 8), 0x801u);
  config_.write(at_ + 2, 2, 0x3fff);
  EXPECT_EQ(config_.get16(at_ + 2), 69);  // the size cannot be written
  EXPECT_EQ(msix_.bar_bytes(), 4096u);
  EXPECT_EQ(Msix(129, nullptr).bar_bytes(), 8192u);
  EXPECT_EQ(msix_.read_table(12, 4), 1u);  // masked at first
}

TEST_F(MsixTest, SendsWhatTheEntrySays) {
  program(3, 0xfee01000, 0x41, 0);
  msix_.notify(3);
  EXPECT_TRUE(listener_.sent.empty());  // not enabled
  control(kOn);
  EXPECT_TRUE(listener_.sent.empty());
  msix_.notify(3);
  ASSERT_EQ(listener_.sent.size(), 1u);
  EXPECT_EQ(listener_.sent[0], (Listener::Message{0xfee01000, 0x41}));
  msix_.notify(70);
  EXPECT_EQ(listener_.sent.size(), 1u);
}

TEST_F(MsixTest, KeepsPendingWhatIsMasked) {
  program(65, 0xfee00000, 0x42, 1);
  program(2, 0xfee00000, 0x43, 0);
  control(kOn);
  msix_.notify(65);
  msix_.notify(65);
  EXPECT_EQ(msix_.read_pending(8, 8), 2u);
  EXPECT_EQ(msix_.read_pending(0, 8), 0u);
  msix_.write_table(65 * 16 + 12, 4, 0);
  EXPECT_EQ(listener_.sent, (std::vector<Listener::Message>{{0xfee00000, 0x42}}));
  EXPECT_EQ(msix_.read_pending(8, 8), 0u);
  control(kOn | kMaskAll);
  msix_.notify(2);
  EXPECT_EQ(msix_.read_pending(0, 4), 4u);
  EXPECT_EQ(listener_.sent.size(), 1u);
  control(kOn);
  EXPECT_EQ(listener_.sent.size(), 2u);
  control(kOn, false);  // no Bus Master Enable, no message
  msix_.notify(2);
  EXPECT_EQ(listener_.sent.size(), 2u);
  control(kOn, true);
  EXPECT_EQ(listener_.sent.size(), 3u);
}

TEST_F(MsixTest, TakesOnlyWholeWords) {
  program(0, 0xfee00000, 0x42, 0);
  msix_.write_table(0, 2, 0xffff);
  msix_.write_table(2, 4, 0xffffffff);
  msix_.write_table(70 * 16, 4, 1);
  EXPECT_EQ(msix_.read_table(0, 8), 0xfee00000u);
  EXPECT_EQ(msix_.read_table(8, 8), 0x42u);
  EXPECT_EQ(msix_.read_table(1, 1), 0u);
  EXPECT_EQ(msix_.read_table(70 * 16, 4), 0u);
  msix_.write_table(12, 4, 0xffffffff);
  EXPECT_EQ(msix_.read_table(12, 4), 1u);  // the rest is reserved
}

TEST_F(MsixTest, AnEventfdFollowsItsVector) {
  auto fd = std::move(*VectorFd::create(msix_));
  fd->follow(5);
  EXPECT_TRUE(listener_.attached.empty());
  program(5, 0xfee02000, 0x51, 0);
  control(kOn);
  ASSERT_EQ(listener_.attached.size(), 1u);
  const int route = listener_.attached.at(fd->fd());
  EXPECT_EQ(listener_.routes.at(route), (Listener::Message{0xfee02000, 0x51}));
  // While it is masked, a signal stays in the eventfd and is shown as pending.
  msix_.write_table(5 * 16 + 12, 4, 1);
  EXPECT_TRUE(listener_.attached.empty());
  uint64_t one = 1;
  ASSERT_EQ(::write(fd->fd(), &one, 8), 8);
  EXPECT_EQ(msix_.read_pending(0, 8), 1u << 5);
  // Another processor.
  msix_.write_table(5 * 16, 4, 0xfee03000);
  msix_.write_table(5 * 16 + 12, 4, 0);
  ASSERT_EQ(listener_.attached.size(), 1u);
  EXPECT_EQ(listener_.routes.at(listener_.attached.at(fd->fd())).address, 0xfee03000u);
  fd->follow(0xffff);
  EXPECT_TRUE(listener_.attached.empty());
  EXPECT_TRUE(listener_.routes.empty());
  msix_.reset();
  pollfd p{fd->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, 0), 0);
}

TEST_F(MsixTest, SeveralEventfdsAreOneChangeOfTheRoutes) {
  auto first = std::move(*VectorFd::create(msix_)), second = std::move(*VectorFd::create(msix_));
  auto masked = std::move(*VectorFd::create(msix_));
  program(1, 0xfee00000, 0x41, 0);
  program(2, 0xfee00000, 0x42, 0);
  control(kOn);
  const std::pair<VectorFd*, uint32_t> all[] = {{first.get(), 1}, {masked.get(), 3}, {second.get(), 2}};
  listener_.commits = 0;
  msix_.follow(all);
  EXPECT_EQ(listener_.commits, 1);
  ASSERT_EQ(listener_.attached.size(), 2u);
  EXPECT_EQ(listener_.routes.at(listener_.attached.at(second->fd())).data, 0x42u);
}

TEST_F(MsixTest, AResetMasksAll) {
  program(1, 0xfee00000, 1, 1);
  control(kOn);
  msix_.notify(1);
  msix_.reset();
  EXPECT_FALSE(msix_.enabled());
  EXPECT_EQ(msix_.read_pending(0, 8), 0u);
  EXPECT_EQ(msix_.read_table(16, 8), 0u);
  EXPECT_EQ(msix_.read_table(28, 4), 1u);
}

// What a guest may have its host refuse, and what is said of it.
using Refused = std::pair<Listener::Refusal, const char*>;
class RefusedMsixTest : public MsixTest, public testing::WithParamInterface<Refused> {};

TEST_P(RefusedMsixTest, IsSaidOnceASecond) {
  auto fd = std::move(*VectorFd::create(msix_));
  program(5, 0xfee02000, 0x51, 1);
  control(kOn);
  fd->follow(5);
  listener_.refused = GetParam().first;
  testing::internal::CaptureStderr();
  timespec begin{}, end{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < 1000; ++i) {
    msix_.write_table(5 * 16 + 12, 4, 0);
    msix_.write_table(5 * 16 + 12, 4, 1);
  }
  ::clock_gettime(CLOCK_MONOTONIC, &end);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find(GetParam().second), log.npos) << log;
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 1 + end.tv_sec - begin.tv_sec) << log;
  EXPECT_TRUE(listener_.attached.empty());
}

INSTANTIATE_TEST_SUITE_P(Host, RefusedMsixTest,
                         testing::Values(Refused{Listener::Refusal::Route, "no room for another interrupt route"},
                                         Refused{Listener::Refusal::Commit, "interrupt routes: the host is full"},
                                         Refused{Listener::Refusal::Attach, "interrupt vector 5: the host is full"}));

}  // namespace
}  // namespace nacre::pci
