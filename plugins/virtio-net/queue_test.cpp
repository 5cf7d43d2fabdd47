// The queues against a driver that is played here, and a network that is a list of frames.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <vector>

#include "control_queue.hpp"
#include "frame_io.hpp"
#include "receive_queue.hpp"
#include "transmit_queue.hpp"

namespace nacre::virtio_net {
namespace {

using Frame = std::vector<uint8_t>;  // with its header

struct FakeNet {
  std::deque<Frame> to_guest;
  std::vector<Frame> from_guest;
  int32_t send_answer = 1;
  size_t most_pieces = 0;
  bool ended = false;
};
FakeNet* fake = nullptr;

const nacre_net_v1 kTable{sizeof(nacre_net_v1),
                          0,
                          [](nacre_instance*, const char*, nacre_net** net, nacre_error*) noexcept -> nacre_status {
                            *net = reinterpret_cast<nacre_net*>(fake);
                            return NACRE_OK;
                          },
                          [](nacre_net*) noexcept {},
                          [](nacre_net*, nacre_net_info*) noexcept {},
                          [](nacre_net*, uint32_t) noexcept -> int32_t { return -1; },
                          [](nacre_net*, uint32_t, const iovec* iov, uint32_t n) noexcept -> int64_t {
                            if (fake->to_guest.empty()) return fake->ended ? NACRE_IO : 0;
                            const Frame frame = fake->to_guest.front();
                            fake->to_guest.pop_front();
                            return static_cast<int64_t>(copy_in({iov, n}, 0, frame.data(), frame.size()));
                          },
                          [](nacre_net*, uint32_t, const iovec* iov, uint32_t n) noexcept -> int32_t {
                            if (fake->send_answer != 1) return fake->send_answer;
                            Frame frame(1 << 17);
                            frame.resize(copy_out({iov, n}, 0, frame.data(), frame.size()));
                            fake->most_pieces = std::max<size_t>(fake->most_pieces, n);
                            fake->from_guest.push_back(frame);
                            return 1;
                          },
                          [](nacre_net*, uint32_t) noexcept -> nacre_status { return NACRE_OK; },
                          [](nacre_net*, uint32_t) noexcept -> nacre_status { return NACRE_OK; },
                          [](nacre_net*, uint32_t) noexcept -> int32_t { return -1; }};

struct Buffer {
  uint64_t address;
  uint32_t length;
  bool write;
};

// Guest memory with one ring in it, from the driver's side.
class Driver {
 public:
  static constexpr uint64_t kSize = 4 << 20, kDesc = 0, kAvail = 0x20000, kUsed = 0x30000, kData = 0x100000;

  explicit Driver(uint16_t num) : num_(num), ram_(kSize) {
    region_ = {0, kSize, ram_.data(), 0, -1, 0};
    view_ = {sizeof view_, 1, sizeof region_, 0, 1, &region_};
    queue.size = sizeof queue;
    queue.num = num;
    queue.desc = kDesc;
    queue.avail = kAvail;
    queue.used = kUsed;
    queue.ready = 1;
    queue.interrupt = [](void* self) noexcept { ++static_cast<Driver*>(self)->interrupts; };
    queue.interrupt_opaque = this;
  }
  sdk::MemoryView memory() const { return sdk::MemoryView(&view_); }
  uint8_t* at(uint64_t address) { return &ram_[address]; }

  // Offers a chain; its descriptors are the next free ones. Returns its head.
  uint16_t offer(const std::vector<Buffer>& buffers) {
    const uint16_t head = next_;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const auto index = static_cast<uint16_t>(next_++ % num_);
      const bool last = i + 1 == buffers.size();
      const auto next = static_cast<uint16_t>((index + 1) % num_);
      const auto flags = static_cast<uint16_t>((buffers[i].write ? 2 : 0) | (last ? 0 : 1));
      std::memcpy(at(kDesc + 16u * index), &buffers[i].address, 8);
      std::memcpy(at(kDesc + 16u * index + 8), &buffers[i].length, 4);
      std::memcpy(at(kDesc + 16u * index + 12), &flags, 2);
      std::memcpy(at(kDesc + 16u * index + 14), &next, 2);
    }
    auto* avail = reinterpret_cast<uint16_t*>(at(kAvail));
    avail[2 + avail[1] % num_] = static_cast<uint16_t>(head % num_);
    ++avail[1];
    return static_cast<uint16_t>(head % num_);
  }
  // What has come back since the last call: heads and lengths.
  std::vector<std::pair<uint32_t, uint32_t>> used() {
    std::vector<std::pair<uint32_t, uint32_t>> entries;
    const uint16_t index = reinterpret_cast<uint16_t*>(at(kUsed))[1];
    for (; seen_ != index; ++seen_) {
      const auto* entry = reinterpret_cast<uint32_t*>(at(kUsed + 4 + 8u * (seen_ % num_)));
      entries.emplace_back(entry[0], entry[1]);
    }
    return entries;
  }

  nacre_virtqueue queue{};
  int interrupts = 0;

 private:
  uint16_t num_;
  uint16_t next_ = 0, seen_ = 0;
  std::vector<uint8_t> ram_;
  nacre_memory_region region_{};
  nacre_memory_view view_{};
};

Frame frame_of(size_t bytes, uint8_t first = 0xff) {
  Frame frame(kHeaderBytes + bytes);
  for (size_t i = kHeaderBytes; i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(i * 7);
  frame[kHeaderBytes] = first;
  return frame;
}

class QueueTest : public testing::Test {
 protected:
  void SetUp() override {
    fake = &fake_;
    sdk::host.net = &kTable;
    ASSERT_TRUE(net_.open(nullptr, "net0", nullptr));
    filter_.reset({2, 0, 0, 0, 0, 1}, false);
  }
  FakeNet fake_;
  sdk::Net net_;
  ReceiveFilter filter_;
};

class ReceiveTest : public QueueTest {
 protected:
  void start(bool mergeable) {
    ASSERT_TRUE(queue_.start(driver_.queue, driver_.memory(), mergeable ? bit(kMrgRxbuf) : 0));
  }
  uint64_t give(uint32_t length) {
    const uint64_t address = next_;
    next_ += length;
    driver_.offer({{address, length, true}});
    return address;
  }
  uint16_t num_buffers(uint64_t address) {
    return static_cast<uint16_t>(driver_.at(address)[10] | driver_.at(address)[11] << 8);
  }

  Driver driver_{16};
  ReceiveQueue queue_{net_, 0, filter_};
  uint64_t next_ = Driver::kData;
};

TEST_F(ReceiveTest, SeveralFramesOneInterrupt) {
  start(true);
  const uint64_t address = give(2048);
  for (int i = 0; i < 5; ++i) give(2048);
  for (size_t bytes : {60, 1514, 100}) fake_.to_guest.push_back(frame_of(bytes));
  const Frame first = fake_.to_guest.front();
  EXPECT_EQ(queue_.process(), Round::Idle);
  const auto used = driver_.used();
  ASSERT_EQ(used.size(), 3u);
  EXPECT_EQ(used[0].second, 72u);
  EXPECT_EQ(used[1].second, 1526u);
  EXPECT_EQ(driver_.interrupts, 1);
  EXPECT_EQ(num_buffers(address), 1);
  EXPECT_EQ(std::memcmp(driver_.at(address + 12), &first[12], 60), 0);
}

TEST_F(ReceiveTest, AFrameGoesIntoAsManyBuffersAsItNeeds) {
  start(true);
  const uint64_t address = give(1000);
  for (int i = 0; i < 5; ++i) give(1000);
  const Frame frame = frame_of(2400);
  fake_.to_guest = {frame, frame_of(60)};
  EXPECT_EQ(queue_.process(), Round::Idle);
  const auto used = driver_.used();
  ASSERT_EQ(used.size(), 4u);
  EXPECT_EQ(used[0].second, 1000u);
  EXPECT_EQ(used[2].second, 412u);
  EXPECT_EQ(used[3].second, 72u);
  EXPECT_EQ(num_buffers(address), 3);
  EXPECT_EQ(std::memcmp(driver_.at(address + 12), &frame[12], 2400), 0);
}

TEST_F(ReceiveTest, ALongFrameWaitsForTheBuffersThatItLacks) {
  start(true);
  const uint64_t address = give(1000);
  give(1000);
  const Frame frame = frame_of(5000);
  fake_.to_guest = {frame, frame_of(60)};
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_TRUE(driver_.used().empty());
  give(1000);
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_TRUE(driver_.used().empty());
  for (int i = 0; i < 5; ++i) give(1000);
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_EQ(driver_.used().size(), 7u);
  EXPECT_EQ(num_buffers(address), 6);
  EXPECT_EQ(std::memcmp(driver_.at(address + 12), &frame[12], 5000), 0);
}

TEST_F(ReceiveTest, AFrameThatAllBuffersCannotHoldIsLost) {
  start(true);
  for (int i = 0; i < 16; ++i) give(100);
  fake_.to_guest = {frame_of(5000), frame_of(60)};
  EXPECT_EQ(queue_.process(), Round::Idle);
  const auto used = driver_.used();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].second, 72u);
}

TEST_F(ReceiveTest, WithoutMergingAFrameFitsOrIsLost) {
  start(false);
  const uint64_t address = give(1000);
  give(1000);
  fake_.to_guest = {frame_of(1500), frame_of(988), frame_of(60)};
  EXPECT_EQ(queue_.process(), Round::Idle);
  const auto used = driver_.used();
  ASSERT_EQ(used.size(), 2u);
  EXPECT_EQ(used[0].second, 1000u);
  EXPECT_EQ(num_buffers(address), 1);
}

TEST_F(ReceiveTest, NothingIsReadWithoutBuffers) {
  start(true);
  fake_.to_guest = {frame_of(60)};
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_EQ(fake_.to_guest.size(), 1u);
  give(1000);
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_EQ(driver_.used().size(), 1u);
}

TEST_F(ReceiveTest, UnwantedAndTooShortFramesCostNoBuffer) {
  start(true);
  give(1000);
  filter_.set_mode(kPromisc, false);
  Frame broadcast = frame_of(64);
  std::fill_n(broadcast.begin() + kHeaderBytes, 6, 0xff);
  fake_.to_guest = {frame_of(60, 4), frame_of(5), broadcast};
  EXPECT_EQ(queue_.process(), Round::Idle);
  const auto used = driver_.used();
  ASSERT_EQ(used.size(), 1u);
  EXPECT_EQ(used[0].second, 76u);
}

TEST_F(ReceiveTest, OthersGetTheirTurnAndTheEndIsSeen) {
  start(true);
  for (int i = 0; i < 16; ++i) give(70000);
  filter_.set_mode(kPromisc, false);
  for (int i = 0; i < 1000; ++i) fake_.to_guest.push_back(frame_of(60, 4));
  EXPECT_EQ(queue_.process(), Round::More);
  EXPECT_GT(fake_.to_guest.size(), 500u);
  while (queue_.process() == Round::More) continue;
  fake_.ended = true;
  EXPECT_EQ(queue_.process(), Round::Ended);
}

TEST_F(ReceiveTest, AReadableBufferBreaksTheRing) {
  start(true);
  driver_.offer({{Driver::kData, 100, false}, {Driver::kData, 100, true}});
  EXPECT_EQ(queue_.process(), Round::Broken);
  EXPECT_STREQ(queue_.broken(), "a receive buffer that the device may not write to");
  EXPECT_EQ(queue_.process(), Round::Broken);
}

class TransmitTest : public QueueTest {
 protected:
  void start(uint16_t num) {
    driver_ = std::make_unique<Driver>(num);
    ASSERT_TRUE(queue_.start(driver_->queue, driver_->memory(), 0));
  }
  void put(uint64_t address, const Frame& frame) { std::memcpy(driver_->at(address), frame.data(), frame.size()); }

  std::unique_ptr<Driver> driver_;
  TransmitQueue queue_{net_, 0, filter_};
};

TEST_F(TransmitTest, SendsWhateverTheFraming) {
  start(16);
  const Frame frame = frame_of(200);
  put(Driver::kData, frame);
  driver_->offer({{Driver::kData, 5, false}, {Driver::kData + 5, 100, false}, {Driver::kData + 105, 107, false}});
  driver_->offer({{Driver::kData, 212, false}});
  EXPECT_EQ(queue_.process(), Round::Idle);
  ASSERT_EQ(fake_.from_guest.size(), 2u);
  EXPECT_EQ(fake_.from_guest[0], frame);
  EXPECT_EQ(fake_.from_guest[1], frame);
  EXPECT_EQ(driver_->used().size(), 2u);
  EXPECT_EQ(driver_->interrupts, 1);
}

TEST_F(TransmitTest, WaitsWhileThereIsNoRoom) {
  start(16);
  put(Driver::kData, frame_of(60));
  driver_->offer({{Driver::kData, 72, false}});
  fake_.send_answer = 0;
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_TRUE(queue_.waiting());
  EXPECT_TRUE(driver_->used().empty());
  fake_.send_answer = 1;
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_FALSE(queue_.waiting());
  EXPECT_EQ(driver_->used().size(), 1u);
  EXPECT_EQ(fake_.from_guest.size(), 1u);
}

TEST_F(TransmitTest, DropsWhatIsNoFrame) {
  start(16);
  driver_->offer({{Driver::kData, 20, false}});
  driver_->offer({{Driver::kData, 100000, false}});
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_EQ(driver_->used().size(), 2u);
  EXPECT_TRUE(fake_.from_guest.empty());
  fake_.send_answer = NACRE_INVALID;
  driver_->offer({{Driver::kData, 72, false}});
  EXPECT_EQ(queue_.process(), Round::Idle);
  EXPECT_EQ(driver_->used().size(), 1u);
}

TEST_F(TransmitTest, AFrameShorterThanItsHeaderBreaksTheRing) {
  start(16);
  driver_->offer({{Driver::kData, 11, false}});
  EXPECT_EQ(queue_.process(), Round::Broken);
  EXPECT_STREQ(queue_.broken(), "a frame to be sent that is shorter than its header");
}

TEST_F(TransmitTest, OthersGetTheirTurn) {
  start(1024);
  put(Driver::kData, frame_of(60));
  for (int i = 0; i < 1000; ++i) driver_->offer({{Driver::kData, 72, false}});
  EXPECT_EQ(queue_.process(), Round::More);
  EXPECT_LT(fake_.from_guest.size(), 500u);
  while (queue_.process() == Round::More) continue;
  EXPECT_EQ(fake_.from_guest.size(), 1000u);
}

TEST_F(TransmitTest, MorePiecesThanACallTakesArePutTogether) {
  start(4096);
  const Frame frame = frame_of(3000);
  put(Driver::kData, frame);
  std::vector<Buffer> pieces;
  for (uint64_t i = 0; i < frame.size(); ++i) pieces.push_back({Driver::kData + i, 1, false});
  driver_->offer(pieces);
  EXPECT_EQ(queue_.process(), Round::Idle);
  ASSERT_EQ(fake_.from_guest.size(), 1u);
  EXPECT_EQ(fake_.from_guest[0], frame);
  EXPECT_LE(fake_.most_pieces, NACRE_NET_IOV_MAX);
}

class ControlQueueTest : public testing::Test {
 protected:
  ControlQueueTest() {
    state_.features = bit(kCtrlRx) | bit(kMq);
    state_.max_pairs = 2;
  }
  bool process() {
    return queue_.process([](void* self) { ++static_cast<ControlQueueTest*>(self)->changes_; }, this);
  }
  ControlState state_;
  Driver driver_{16};
  ControlQueue queue_{state_};
  int changes_ = 0;
};

TEST_F(ControlQueueTest, Answers) {
  ASSERT_TRUE(queue_.start(driver_.queue, driver_.memory(), 0));
  const uint8_t pairs[] = {kClassMq, kMqPairsSet, 2, 0}, wrong[] = {kClassMq, kMqPairsSet, 3, 0};
  std::memcpy(driver_.at(Driver::kData), pairs, sizeof pairs);
  std::memcpy(driver_.at(Driver::kData + 16), wrong, sizeof wrong);
  *driver_.at(Driver::kData + 100) = *driver_.at(Driver::kData + 101) = 0xee;
  driver_.offer({{Driver::kData, 2, false}, {Driver::kData + 2, 2, false}, {Driver::kData + 100, 1, true}});
  driver_.offer({{Driver::kData + 16, 4, false}, {Driver::kData + 101, 1, true}});
  driver_.offer({{Driver::kData + 200, 1, true}});
  driver_.offer({{Driver::kData, 20000, false}, {Driver::kData + 102, 1, true}});
  EXPECT_TRUE(process());
  EXPECT_EQ(state_.pairs, 2);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(*driver_.at(Driver::kData + 100), 0);
  EXPECT_EQ(*driver_.at(Driver::kData + 101), 1);
  EXPECT_EQ(*driver_.at(Driver::kData + 200), 1);
  EXPECT_EQ(driver_.used().size(), 4u);
}

// A driver that offers the next command while one is carried out, for ever: others on the loop have their turn.
TEST_F(ControlQueueTest, EndsThoughTheDriverGoesOn) {
  driver_.queue.kick_fd = ::eventfd(0, EFD_NONBLOCK);
  ASSERT_TRUE(queue_.start(driver_.queue, driver_.memory(), 0));
  const uint8_t pairs[] = {kClassMq, kMqPairsSet, 2, 0};
  std::memcpy(driver_.at(Driver::kData), pairs, sizeof pairs);
  auto offer = [](void* self) {
    static_cast<Driver*>(self)->offer({{Driver::kData, 4, false}, {Driver::kData + 100, 1, true}});
  };
  offer(&driver_);
  EXPECT_TRUE(queue_.process(offer, &driver_));
  EXPECT_EQ(driver_.used().size(), 32u);
  uint64_t kicks = 0;
  EXPECT_EQ(::read(driver_.queue.kick_fd, &kicks, sizeof kicks), static_cast<ssize_t>(sizeof kicks));
  ::close(driver_.queue.kick_fd);
}

TEST_F(ControlQueueTest, WithoutAStatusByteTheRingIsBroken) {
  ASSERT_TRUE(queue_.start(driver_.queue, driver_.memory(), 0));
  driver_.offer({{Driver::kData, 4, false}});
  EXPECT_FALSE(process());
  EXPECT_STREQ(queue_.broken(), "a command without a status byte");
  EXPECT_FALSE(process());
}

}  // namespace
}  // namespace nacre::virtio_net
