#include <gtest/gtest.h>

#include <array>
#include <nacre/request_queue.hpp>
#include <stdexcept>
#include <string>

namespace nacre::sdk {
namespace {

constexpr uint16_t kNum = 8;
constexpr uint64_t kDesc = 0x0, kAvail = 0x100, kUsed = 0x200, kData = 0x1000, kSize = 0x2000;

// The host's memory and loop, which call back when the test says so.
struct FakeHost {
  nacre_memory_region region;
  nacre_memory_view view;
  nacre_callback ready = nullptr, expired = nullptr;
  void* opaque = nullptr;
  int views = 0, watches = 0, timers = 0;
  uint64_t armed = 0;
} fake;

const nacre_memory_v1 kMemory = {
    .size = sizeof kMemory,
    .acquire = [](nacre_instance*) noexcept -> const nacre_memory_view* { return ++fake.views, &fake.view; },
    .release = [](nacre_instance*, const nacre_memory_view*) noexcept { --fake.views; }};
const nacre_loop_v1 kLoop = {
    .size = sizeof kLoop,
    .of = [](nacre_instance*) noexcept -> nacre_loop* { return reinterpret_cast<nacre_loop*>(&fake); },
    .watch = [](nacre_loop*, int32_t, uint32_t, nacre_callback ready, void* opaque, nacre_watch** watch,
                nacre_error*) noexcept -> nacre_status {
      ++fake.watches;
      fake.ready = ready;
      fake.opaque = opaque;
      *watch = reinterpret_cast<nacre_watch*>(&fake);
      return NACRE_OK;
    },
    .unwatch = [](nacre_watch*) noexcept { --fake.watches; },
    .timer = [](nacre_loop*, nacre_callback expired, void*, nacre_timer** timer,
                nacre_error*) noexcept -> nacre_status {
      ++fake.timers;
      fake.expired = expired;
      *timer = reinterpret_cast<nacre_timer*>(&fake);
      return NACRE_OK;
    },
    .timer_arm = [](nacre_timer*, uint64_t ns) noexcept { fake.armed = ns; },
    .timer_destroy = [](nacre_timer*) noexcept { --fake.timers; }};

class RequestQueueTest : public testing::Test {
 protected:
  RequestQueueTest() {
    fake = {};
    fake.region = {0, kSize, ram_.data(), 0, -1, 0};
    fake.view = {sizeof fake.view, 1, sizeof fake.region, 0, 1, &fake.region};
    host.memory = &kMemory;
    host.loop = &kLoop;
    raw_.num = kNum;
    raw_.desc = kDesc;
    raw_.avail = kAvail;
    raw_.used = kUsed;
    raw_.ready = 1;
    raw_.interrupt = [](void* count) noexcept { ++*static_cast<int*>(count); };
    raw_.interrupt_opaque = &interrupts_;
  }
  ~RequestQueueTest() override {
    queue_.stop();
    host.memory = nullptr;
    host.loop = nullptr;
  }

  // Makes the descriptor `head` a buffer of 16 bytes and offers it.
  void offer(uint16_t head, uint64_t gpa = kData) {
    const struct {
      uint64_t addr;
      uint32_t len;
      uint16_t flags, next;
    } descriptor{gpa, 16, 2, 0};
    std::memcpy(&ram_[kDesc + 16u * head], &descriptor, sizeof descriptor);
    auto* avail = reinterpret_cast<uint16_t*>(&ram_[kAvail]);
    avail[2 + avail[1] % kNum] = head;
    ++avail[1];
  }
  uint16_t used() { return reinterpret_cast<uint16_t*>(&ram_[kUsed])[1]; }
  void kick() { fake.ready(fake.opaque); }

  alignas(4096) std::array<uint8_t, kSize> ram_{};
  nacre_virtqueue raw_{};
  int interrupts_ = 0, answered_ = 0;
  std::string why_;
  std::function<uint32_t(DescriptorChain&)> answer_ = [](DescriptorChain& chain) {
    return static_cast<uint32_t>(chain.writable.put_front("0123456789", 10));
  };
  RequestQueue queue_{[this](DescriptorChain& chain) { return ++answered_, answer_(chain); },
                      [this](const char* why) { why_ = why; }};
};

TEST_F(RequestQueueTest, AnswersABatchWithOneInterrupt) {
  ASSERT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  offer(0);
  offer(1);
  kick();
  EXPECT_EQ(answered_, 2);
  EXPECT_EQ(used(), 2);
  EXPECT_EQ(interrupts_, 1);
  EXPECT_EQ(fake.armed, 0u);
  EXPECT_EQ(std::memcmp(&ram_[kData], "0123456789", 10), 0);
  const auto* entry = reinterpret_cast<const uint32_t*>(&ram_[kUsed + 4]);
  EXPECT_EQ(entry[0], 0u);
  EXPECT_EQ(entry[1], 10u);
  queue_.stop();
  EXPECT_EQ(fake.views + fake.watches + fake.timers, 0);
}

TEST_F(RequestQueueTest, LetsOthersHaveTheirTurn) {
  ASSERT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  // A driver that offers again as soon as it is answered never finds the end
  answer_ = [this](DescriptorChain& chain) { return offer(chain.head), 0u; };
  offer(3);
  kick();
  EXPECT_EQ(answered_, kNum);
  EXPECT_EQ(used(), kNum);
  EXPECT_EQ(fake.armed, 1u);
  fake.expired(&queue_);
  EXPECT_EQ(answered_, 2 * kNum);
}

TEST_F(RequestQueueTest, GivesUpOnABrokenRing) {
  ASSERT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  offer(0, kSize);
  kick();
  EXPECT_EQ(why_, "a buffer outside memory");
  EXPECT_EQ(answered_, 0);
  EXPECT_EQ(fake.watches, 0);
}

TEST_F(RequestQueueTest, GivesUpWhereTheAnswerThrows) {
  ASSERT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  answer_ = [](DescriptorChain&) -> uint32_t { throw std::runtime_error("out of paper"); };
  offer(0);
  kick();
  EXPECT_EQ(why_, "out of paper");
  EXPECT_EQ(used(), 0);
  // After a reset it goes on
  std::memset(&ram_[kAvail], 0, 4);
  answer_ = [](DescriptorChain&) { return 0u; };
  ASSERT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  offer(0);
  kick();
  EXPECT_EQ(used(), 1);
}

TEST_F(RequestQueueTest, StaysSilentWithoutAQueue) {
  raw_.ready = 0;
  EXPECT_TRUE(queue_.start(nullptr, raw_, 0, nullptr));
  EXPECT_EQ(fake.views + fake.watches + fake.timers, 0);
  raw_.ready = 1;
  raw_.used = kSize;
  EXPECT_FALSE(queue_.start(nullptr, raw_, 0, nullptr));
  EXPECT_EQ(fake.views + fake.watches + fake.timers, 0);
}

}  // namespace
}  // namespace nacre::sdk
