#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>
#include <nacre/virtqueue.hpp>
#include <random>
#include <thread>
#include <vector>

namespace nacre::sdk {
namespace {

struct Descriptor {
  uint64_t addr;
  uint32_t len;
  uint16_t flags, next;
};
enum : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };

constexpr uint16_t kNum = 8;
constexpr uint64_t kDesc = 0x0, kAvail = 0x100, kUsed = 0x200, kData = 0x1000, kSize = 0x4000;

class VirtqueueTest : public testing::Test {
 protected:
  void SetUp() override { start(1ull << kVirtioRingIndirectDesc); }

  void start(uint64_t features) {
    region_ = {0, kSize, ram_.data(), 0, -1, 0};
    view_ = {sizeof view_, 1, sizeof region_, 0, 1, &region_};
    nacre_virtqueue queue{};
    queue.num = kNum;
    queue.desc = kDesc;
    queue.avail = kAvail;
    queue.used = kUsed;
    queue.interrupt = [](void* self) noexcept { ++static_cast<VirtqueueTest*>(self)->interrupts_; };
    queue.interrupt_opaque = this;
    ASSERT_TRUE(queue_.start(queue, MemoryView(&view_), features));
  }
  void put(uint16_t i, Descriptor descriptor) { std::memcpy(&ram_[kDesc + 16u * i], &descriptor, 16); }
  void put_at(uint64_t gpa, Descriptor descriptor) { std::memcpy(&ram_[gpa], &descriptor, 16); }
  void offer(uint16_t head) {
    auto* avail = reinterpret_cast<uint16_t*>(&ram_[kAvail]);
    avail[2 + avail[1] % kNum] = head;
    ++avail[1];
  }
  uint16_t& avail_index() { return reinterpret_cast<uint16_t*>(&ram_[kAvail])[1]; }
  uint16_t& avail_flags() { return reinterpret_cast<uint16_t*>(&ram_[kAvail])[0]; }
  uint16_t& used_event() { return reinterpret_cast<uint16_t*>(&ram_[kAvail])[2 + kNum]; }
  uint16_t used_index() { return reinterpret_cast<uint16_t*>(&ram_[kUsed])[1]; }
  uint16_t avail_event() { return *reinterpret_cast<uint16_t*>(&ram_[kUsed + 4 + 8 * kNum]); }
  Virtqueue::Pop pop() { return queue_.pop(chain_, storage_, kNum); }
  bool interrupted() { return std::exchange(interrupts_, 0) > 0; }
  // Offers the chain at 0 and wants it refused.
  void refused() {
    offer(0);
    EXPECT_EQ(pop(), Virtqueue::Pop::Broken);
    EXPECT_NE(queue_.broken(), nullptr);
    EXPECT_EQ(pop(), Virtqueue::Pop::Broken);
    EXPECT_FALSE(queue_.rearm());
  }

  alignas(4096) std::array<uint8_t, kSize> ram_{};
  nacre_memory_region region_;
  nacre_memory_view view_;
  int interrupts_ = 0;
  Virtqueue queue_;
  DescriptorChain chain_;
  iovec storage_[kNum];
};

TEST_F(VirtqueueTest, PopsAChainAndGivesItBack) {
  put(3, {kData, 16, kNext, 5});
  put(5, {kData + 64, 512, kNext | kWrite, 1});
  put(1, {kData + 1024, 1, kWrite, 0});
  EXPECT_EQ(pop(), Virtqueue::Pop::Empty);
  offer(3);
  ASSERT_EQ(pop(), Virtqueue::Pop::Chain);
  EXPECT_EQ(chain_.head, 3);
  EXPECT_EQ(chain_.readable.length(), 16u);
  EXPECT_EQ(chain_.writable.count(), 2u);
  EXPECT_EQ(chain_.writable.length(), 513u);
  EXPECT_EQ(chain_.writable.take_last_byte(), &ram_[kData + 1024]);
  EXPECT_EQ(chain_.writable.count(), 1u);
  queue_.push(3, 513);
  EXPECT_EQ(used_index(), 0);
  queue_.publish();
  EXPECT_EQ(used_index(), 1);
  EXPECT_TRUE(interrupted());
  queue_.publish();
  EXPECT_FALSE(interrupted());
}

TEST_F(VirtqueueTest, FollowsAnIndirectTable) {
  put(0, {kData, 32, kIndirect, 0});
  put_at(kData, {kData + 256, 16, kNext, 1});
  put_at(kData + 16, {kData + 512, 8, kWrite, 0});
  offer(0);
  ASSERT_EQ(pop(), Virtqueue::Pop::Chain);
  EXPECT_EQ(chain_.readable.length(), 16u);
  EXPECT_EQ(chain_.writable.length(), 8u);
}

TEST_F(VirtqueueTest, FollowsAnIndirectTableAtAnOddAddress) {
  put(0, {kData + 3, 16, kIndirect, 0});
  put_at(kData + 3, {kData + 256, 16, 0, 0});
  offer(0);
  ASSERT_EQ(pop(), Virtqueue::Pop::Chain);
  EXPECT_EQ(chain_.readable.length(), 16u);
}

TEST_F(VirtqueueTest, InterruptsAsTheFlagSays) {
  put(0, {kData, 1, kWrite, 0});
  avail_flags() = 1;
  offer(0);
  pop();
  queue_.push(0, 1);
  queue_.publish();
  EXPECT_FALSE(interrupted());
}

TEST_F(VirtqueueTest, InterruptsAtTheUsedEvent) {
  start(1ull << kVirtioRingEventIdx);
  put(0, {kData, 1, kWrite, 0});
  used_event() = 2;
  for (int i = 0; i < 5; ++i) {
    offer(0);
    ASSERT_EQ(pop(), Virtqueue::Pop::Chain);
    queue_.push(0, 1);
    queue_.publish();
    EXPECT_EQ(interrupted(), i == 0 || i == 2) << i;  // the first one always
  }
  EXPECT_FALSE(queue_.rearm());
  EXPECT_EQ(avail_event(), 5);
  offer(0);
  EXPECT_TRUE(queue_.rearm());
}

TEST_F(VirtqueueTest, RefusesALoop) {
  put(0, {kData, 1, kNext, 1});
  put(1, {kData, 1, kNext, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesItself) {
  put(0, {kData, 1, kNext, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesANextThatDoesNotExist) {
  put(0, {kData, 1, kNext, kNum});
  refused();
}
TEST_F(VirtqueueTest, RefusesAHeadThatDoesNotExist) {
  offer(kNum);
  EXPECT_EQ(pop(), Virtqueue::Pop::Broken);
}
TEST_F(VirtqueueTest, RefusesAnIndexTooFarAhead) {
  avail_index() = kNum + 1;
  EXPECT_EQ(pop(), Virtqueue::Pop::Broken);
}
TEST_F(VirtqueueTest, RefusesLengthZero) {
  put(0, {kData, 0, 0, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesReadableAfterWritable) {
  put(0, {kData, 1, kNext | kWrite, 1});
  put(1, {kData, 1, 0, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesAnIndirectTableThatWasNotNegotiated) {
  start(0);
  put(0, {kData, 16, kIndirect, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesNestedIndirectTables) {
  put(0, {kData, 16, kIndirect, 0});
  put_at(kData, {kData + 64, 16, kIndirect, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesAnIndirectLoop) {
  put(0, {kData, 16, kIndirect, 0});
  put_at(kData, {kData + 64, 16, kNext, 0});
  refused();
}
TEST_F(VirtqueueTest, RefusesAnIndirectOfWrongLength) {
  for (uint32_t length : {0u, 1u, 15u, 17u, 16u * (kNum + 1), ~0u, ~0u & ~15u}) {
    SetUp();
    ram_.fill(0);
    put(0, {kData, length, kIndirect, 0});
    refused();
  }
}
TEST_F(VirtqueueTest, RefusesAddressesThatAreNotMemory) {
  const std::pair<uint64_t, uint32_t> cases[] = {{kSize, 1},        {kSize - 1, 2}, {~0ull, 1},     {~0ull - 3, 8},
                                                 {1ull << 63, 512}, {0, ~0u},       {0xf0100000, 4}};
  for (auto [address, length] : cases) {
    SetUp();
    ram_.fill(0);
    put(0, {address, length, 0, 0});
    refused();
  }
}

TEST_F(VirtqueueTest, Row06SurvivesRandomRings) {
  std::mt19937 random(11);
  for (int round = 0; round < 50000; ++round) {
    SetUp();
    for (size_t i = 0; i < 0x180; ++i) ram_[i] = static_cast<uint8_t>(random() % 3 ? 0 : random());
    avail_index() = static_cast<uint16_t>(random() % 10);
    for (int i = 0; i < 12 && pop() == Virtqueue::Pop::Chain; ++i) {
      ASSERT_LE(chain_.readable.count() + chain_.writable.count(), kNum);
      for (uint32_t n = 0; n < chain_.writable.count(); ++n) {
        auto* first = static_cast<uint8_t*>(chain_.writable.data()[n].iov_base);
        ASSERT_TRUE(first >= ram_.data() && first + chain_.writable.data()[n].iov_len <= ram_.data() + kSize);
      }
      queue_.push(chain_.head, 0);
    }
    queue_.publish();
  }
}

TEST_F(VirtqueueTest, FollowsAPlainDescriptorIntoAnIndirectTable) {  // virtio 1.2 §2.7.5.3
  put(0, {kData, 16, kNext, 1});
  put(1, {kData + 256, 32, kIndirect, 0});
  put_at(kData + 256, {kData + 512, 8, kNext, 1});
  put_at(kData + 272, {kData + 1024, 4, kWrite, 0});
  offer(0);
  ASSERT_EQ(pop(), Virtqueue::Pop::Chain);
  EXPECT_EQ(chain_.readable.length(), 24u);
  EXPECT_EQ(chain_.writable.length(), 4u);
}

// A driver on another CPU, which writes to the ring while the device walks it.
class RestlessDriver {
 public:
  explicit RestlessDriver(uint8_t* ram) : ram_(ram), thread_([this] { run(); }) {}
  ~RestlessDriver() {
    end_ = true;
    thread_.join();
  }
  uint64_t writes() const { return writes_; }

 private:
  template <typename T>
  void store(uint64_t gpa, T value) {
    __atomic_store_n(reinterpret_cast<T*>(ram_ + gpa), value, __ATOMIC_RELAXED);
  }
  // Each address is good with one of the lengths alone, so that one that is read again after its check leads outside.
  void put(uint64_t gpa, uint64_t random) {
    const bool far = random & 1;
    const uint64_t flags = random >> 1 & 7, next = random >> 4 & 1;
    store<uint64_t>(gpa, random >> 8 & 7 ? (far ? kSize - 16 : kData) : random << 8);
    store<uint64_t>(gpa + 8, (far ? 16 : kSize - kData) | flags << 32 | next << 48);
  }
  // Two descriptors alone, so that they change under the device's hands.
  void run() {
    std::mt19937_64 random(7);
    while (!end_) {
      const uint64_t r = random();
      put(kDesc + 16 * (r & 1), r >> 8);
      put(kData + 16 * (r >> 3 & 1), random());  // an indirect table, now and then
      store<uint16_t>(kAvail + 4 + 2 * (r >> 32 & 7), r >> 36 & 15 ? r >> 40 & 1 : r >> 44 & 0xffff);
      store<uint16_t>(kAvail + 2, static_cast<uint16_t>(r >> 48 & 7));
      store<uint16_t>(kAvail, r >> 52 & 1);
      ++writes_;
    }
  }

  uint8_t* ram_;
  std::atomic<bool> end_ = false;
  std::atomic<uint64_t> writes_ = 0;
  std::thread thread_;
};

TEST_F(VirtqueueTest, StaysInMemoryWhileTheDriverWrites) {
  std::mt19937 random(3);
  uint64_t chains = 0;
  RestlessDriver driver(ram_.data());
  // A second finds a field that is read twice, as was tried; a busy machine has until both threads have had their
  // turns.
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(1) || driver.writes() < 20000 ||
         chains < 20000) {
    ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(1));
    start(1ull << kVirtioRingIndirectDesc | (random() & 1ull) << kVirtioRingEventIdx);
    while (pop() == Virtqueue::Pop::Chain) {
      ++chains;
      ASSERT_LT(chain_.head, kNum);
      ASSERT_LE(chain_.readable.count() + chain_.writable.count(), kNum);
      for (const IoVector* part : {&chain_.readable, &chain_.writable}) {
        uint64_t length = 0;
        for (uint32_t n = 0; n < part->count(); length += part->data()[n++].iov_len) {
          auto* first = static_cast<uint8_t*>(part->data()[n].iov_base);
          ASSERT_GT(part->data()[n].iov_len, 0u);
          ASSERT_TRUE(first >= ram_.data() && first + part->data()[n].iov_len <= ram_.data() + kSize);
        }
        ASSERT_EQ(part->length(), length);
      }
      queue_.push(chain_.head, 0);
      queue_.publish();
    }
    queue_.rearm();
  }
}

}  // namespace
}  // namespace nacre::sdk
