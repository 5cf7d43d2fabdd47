#include "core/virtio/mmio_transport.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>

#include "core/virtio/recorder.hpp"

namespace nacre::virtio {
namespace {

enum : uint32_t {
  kSel = 0x30,
  kNumMax = 0x34,
  kNum = 0x38,
  kReady = 0x44,
  kNotify = 0x50,
  kIsr = 0x60,
  kAck = 0x64,
  kStatus = 0x70,
  kDesc = 0x80,
  kAvail = 0x90,
  kUsed = 0xa0,
  kGeneration = 0xfc,
  kConfig = 0x100
};

class MmioTransportTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*EventLoop::create());
    memory_ = std::move(*GuestMemory::create(1 << 20, {}));
    ASSERT_TRUE(memory_->place(0, 1 << 20));
    device_ = recorder_.make(*loop_);
    transport_ = std::make_unique<MmioTransport>(nullptr, *memory_, window_, 0xf0100000);
    ASSERT_TRUE(transport_->plug(*device_, 5));
  }

  uint32_t read(uint32_t reg) {
    uint32_t value;
    std::memcpy(&value, window_ + reg, sizeof value);
    return value;
  }
  void write(uint32_t reg, uint32_t value) { transport_->write(reg, 4, value); }
  void negotiate(uint64_t features = 1ull << kFeatureVersion1) {
    write(kStatus, 1);
    write(kStatus, 3);
    write(0x24, 0);
    write(0x20, static_cast<uint32_t>(features));
    write(0x24, 1);
    write(0x20, static_cast<uint32_t>(features >> 32));
    write(kStatus, 11);
  }
  void set_queue(uint32_t index, uint32_t num, uint64_t desc, uint64_t avail, uint64_t used) {
    write(kSel, index);
    write(kNum, num);
    for (auto [reg, value] : {std::pair{kDesc, desc}, std::pair{kAvail, avail}, std::pair{kUsed, used}}) {
      write(reg, static_cast<uint32_t>(value));
      write(reg + 4, static_cast<uint32_t>(value >> 32));
    }
    write(kReady, 1);
  }

  alignas(8) uint8_t window_[kMmioSlotBytes];
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GuestMemory> memory_;
  Recorder recorder_;
  std::unique_ptr<VirtioDevice> device_;
  std::unique_ptr<MmioTransport> transport_;
};

TEST_F(MmioTransportTest, ShowsTheDevice) {
  EXPECT_EQ(read(0), 0x74726976u);
  EXPECT_EQ(read(4), 2u);
  EXPECT_EQ(read(8), 2u);
  EXPECT_EQ(read(0x10), 5u);
  write(0x14, 1);
  EXPECT_EQ(read(0x10), 1u);  // VERSION_1
  write(0x14, 2);
  EXPECT_EQ(read(0x10), 0u);
  EXPECT_EQ(read(kNumMax), 256u);
  write(kSel, 1);
  EXPECT_EQ(read(kNumMax), 64u);
  write(kSel, 2);
  EXPECT_EQ(read(kNumMax), 0u);
  EXPECT_EQ(read(kConfig), 0x04030201u);
  transport_->unplug();
  EXPECT_EQ(read(0), 0x74726976u);
  EXPECT_EQ(read(8), 0u);
  EXPECT_EQ(read(kConfig), 0u);
}

TEST_F(MmioTransportTest, HandsOverTheQueuesOnDriverOk) {
  negotiate(1ull << 32 | 0xff);
  EXPECT_EQ(read(kStatus), 11u);
  set_queue(0, 128, 0x1000, 0x2000, 0x3000);
  EXPECT_EQ(read(kReady), 1u);
  write(kStatus, 15);
  ASSERT_EQ(recorder_.activations, 1);
  EXPECT_EQ(recorder_.features, (1ull << 32 | 5));  // what was not offered is dropped
  ASSERT_EQ(recorder_.queues.size(), 2u);
  EXPECT_EQ(recorder_.queues[0].num, 128);
  EXPECT_EQ(recorder_.queues[0].used, 0x3000u);
  EXPECT_EQ(recorder_.queues[1].ready, 0);
  // Nothing of a live queue can be changed.
  write(kNum, 7);
  write(kReady, 0);
  EXPECT_EQ(read(kReady), 1u);
  write(kStatus, 15);
  EXPECT_EQ(recorder_.activations, 1);
  write(kNotify, 0);
  EXPECT_TRUE(signalled(transport_->kick_fd(0)));
  write(kNotify, 7);  // no such queue
  write(kStatus, 0);
  EXPECT_EQ(recorder_.resets, 1);
  EXPECT_EQ(read(kStatus), 0u);
  EXPECT_EQ(read(kReady), 0u);
}

TEST_F(MmioTransportTest, RefusesStatusOutOfOrder) {
  write(kStatus, 15);  // all at once, without features
  EXPECT_EQ(recorder_.activations, 0);
  EXPECT_EQ(read(kStatus), 7u);  // as it was written, but for FEATURES_OK
  write(kStatus, 0);
  negotiate(0);  // no VERSION_1
  EXPECT_EQ(read(kStatus), 3u);
  write(kStatus, 1);  // a bit cannot be cleared
  EXPECT_EQ(read(kStatus), 3u);
}

TEST_F(MmioTransportTest, AsksForResetWhenAQueueIsWrong) {
  struct Case {
    uint32_t num;
    uint64_t desc, avail, used;
  } cases[] = {{0, 0x1000, 0x2000, 0x3000},      {100, 0x1000, 0x2000, 0x3000},  {512, 0x1000, 0x2000, 0x3000},
               {128, 0x1001, 0x2000, 0x3000},    {128, 0x1000, 0x2001, 0x3000},  {128, 0x1000, 0x2000, 0x3002},
               {128, 0x1000000, 0x2000, 0x3000}, {128, 0xfff00, 0x2000, 0x3000}, {128, 0x1000, 0x2000, ~0ull - 3},
               {128, 0x1000, 0xf0100000, 0x3000}};
  int n = 0;
  for (const Case& c : cases) {
    negotiate();
    set_queue(0, c.num, c.desc, c.avail, c.used);
    write(kStatus, 15);
    EXPECT_TRUE(read(kStatus) & 64) << n;
    EXPECT_TRUE(read(kIsr) & 2) << n;
    write(kStatus, 0);
    EXPECT_EQ(read(kStatus), 0u);
    ++n;
  }
  EXPECT_EQ(recorder_.activations, 0);
}

TEST_F(MmioTransportTest, AsksForResetWhenTheDeviceFails) {
  recorder_.answer = NACRE_IO;
  negotiate();
  write(kStatus, 15);
  EXPECT_TRUE(read(kStatus) & 64);
  EXPECT_TRUE(signalled(transport_->call_fd()));
  recorder_.answer = NACRE_OK;
  write(kStatus, 0);
  EXPECT_EQ(recorder_.resets, 0);  // it was never active
  negotiate();
  write(kStatus, 15);
  EXPECT_EQ(read(kStatus), 15u);
}

TEST_F(MmioTransportTest, TellsOnceThatItNeedsAReset) {
  negotiate();
  write(kStatus, 15);
  device_->needs_reset("it has gone");
  EXPECT_EQ(read(kIsr), 3u);
  write(kAck, 3);
  device_->needs_reset("it has gone");
  EXPECT_EQ(read(kIsr), 1u);
  EXPECT_EQ(read(kStatus), 15u | kNeedsReset);
}

TEST_F(MmioTransportTest, AsksForNoResetAfterOne) {
  negotiate();
  write(kStatus, 15);
  device_->needs_reset("it has gone");
  EXPECT_EQ(read(kStatus), 15u | kNeedsReset);
  write(kStatus, 0);
  device_->needs_reset("it has gone");
  EXPECT_EQ(read(kStatus), 0u);  // for which the driver waits
}

TEST_F(MmioTransportTest, ChangesTheConfiguration) {
  uint32_t generation = read(kGeneration);
  const uint8_t changed[] = {9, 9};
  device_->set_config(2, changed, 2, true);
  EXPECT_EQ(read(kConfig), 0x09090201u);
  EXPECT_EQ(read(kGeneration), generation + 2);
  EXPECT_FALSE(signalled(transport_->call_fd()));  // no driver yet
  negotiate();
  write(kStatus, 15);
  device_->set_config(0, changed, 1, true);
  EXPECT_TRUE(signalled(transport_->call_fd()));
  EXPECT_EQ(read(kIsr), 3u);
  write(kAck, 3);
  EXPECT_EQ(read(kIsr), 1u);                 // for as long as it is active
  device_->set_config(7, changed, 2, true);  // beyond the end: ignored
  transport_->write(kConfig + 4, 2, 0x4241);
  EXPECT_EQ(recorder_.written, "4:AB");
  transport_->write(kConfig + 7, 2, 0x4241);  // crosses the end
  EXPECT_EQ(recorder_.written, "4:AB");
}

TEST_F(MmioTransportTest, SurvivesRandomWrites) {
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    uint32_t width = 1u << random() % 4;
    uint64_t value = random() % 4 ? random() % 16 : uint64_t{random()} << 32 | random();
    transport_->write(static_cast<uint32_t>(random() % (kMmioSlotBytes - 7)), width, value);
  }
  write(kStatus, 0);
  negotiate();
  set_queue(0, 16, 0x1000, 0x2000, 0x3000);
  write(kStatus, 15);
  EXPECT_EQ(read(kStatus), 15u);
}

// The device's loop is another thread; a vCPU's write waits for it.
TEST_F(MmioTransportTest, CallsTheDeviceOnItsLoop) {
  negotiate();
  std::atomic<bool> done{false};
  std::thread vcpu([&] {
    write(kStatus, 15);
    done = true;
    loop_->wake();
  });
  loop_->run_posted_until([&] { return done.load(); });
  vcpu.join();
  EXPECT_EQ(recorder_.activations, 1);
}

}  // namespace
}  // namespace nacre::virtio
