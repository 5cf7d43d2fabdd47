// The controller on the SDK's fake host, driven as a guest's driver does: NVM Express 1.4 §7.6.1.
#include <gtest/gtest.h>

#include <cstring>
#include <nacre/fake/back_ends.hpp>
#include <nacre/fake/device.hpp>
#include <numeric>
#include <random>

#include "../src/nvme.hpp"

namespace {

using namespace nacre::fake;
using nvme::Command;
using nvme::Completion;

constexpr uint32_t kEntries = 16;
// Where queues and data are in the guest's memory.
constexpr uint64_t kQueues = 0x10000, kData = 0x100000, kList = 0x200000;

class Nvme : public testing::Test {
 protected:
  struct Queue {
    uint64_t sq, cq;
    uint32_t tail = 0, head = 0;
    bool phase = true;
  };

  void SetUp() override {
    device_.realize();
    function_ = device_.instance().pci.get();
    function_->enable();
  }
  void TearDown() override { device_.unrealize(); }

  void enable() {
    function_->write(0, nvme::kAqa, 4, (kEntries - 1) << 16 | (kEntries - 1));
    function_->write(0, nvme::kAsq, 8, queues_[0].sq);
    function_->write(0, nvme::kAcq, 8, queues_[0].cq);
    function_->write(0, nvme::kCc, 4, 4 << 20 | 6 << 16 | nvme::kEnable);
    device_.loop().settle();
    ASSERT_EQ(function_->read(0, nvme::kCsts, 4), nvme::kReady);
  }
  void create_io_queues() {
    ASSERT_EQ(
        run(0,
            {.opcode = nvme::kCreateCq, .prp1 = queues_[1].cq, .dw10 = (kEntries - 1) << 16 | 1, .dw11 = 1 << 16 | 3}),
        nvme::kSuccess);
    ASSERT_EQ(
        run(0,
            {.opcode = nvme::kCreateSq, .prp1 = queues_[1].sq, .dw10 = (kEntries - 1) << 16 | 1, .dw11 = 1 << 16 | 1}),
        nvme::kSuccess);
  }
  // Gives one command and returns its status; -1 when it is not completed.
  int run(uint32_t number, Command command) {
    Queue& queue = queues_[number];
    command.id = ++id_;
    std::memcpy(device_.memory().at(queue.sq + queue.tail * sizeof command, sizeof command), &command, sizeof command);
    queue.tail = (queue.tail + 1) % kEntries;
    function_->write(0, nvme::kDoorbells + 8 * number, 4, queue.tail);
    auto completion = [&] {
      Completion now;
      std::memcpy(&now, device_.memory().at(queue.cq + queue.head * sizeof now, sizeof now), sizeof now);
      return now;
    };
    if (!device_.loop().run_until([&] { return (completion().status & 1) == queue.phase; }, std::chrono::seconds(2)))
      return -1;
    const Completion done = completion();
    EXPECT_EQ(done.command_id, command.id);
    EXPECT_EQ(done.sq_head, queue.tail);
    queue.head = (queue.head + 1) % kEntries;
    if (queue.head == 0) queue.phase = !queue.phase;
    function_->write(0, nvme::kDoorbells + 8 * number + 4, 4, queue.head);
    device_.loop().settle();
    return done.status >> 1;
  }
  Command transfer(uint8_t opcode, uint64_t block, uint32_t bytes, uint64_t prp1, uint64_t prp2) {
    return {.opcode = opcode,
            .nsid = 1,
            .prp1 = prp1,
            .prp2 = prp2,
            .dw10 = static_cast<uint32_t>(block),
            .dw11 = 0,
            .dw12 = bytes / 512 - 1};
  }
  uint8_t* memory(uint64_t at, uint64_t length) { return device_.memory().at(at, length); }
  nacre_block& disk() { return device_.instance().back_ends->blocks.front(); }

  Device device_{NACRE_PLUGIN_FILE, "nacre-nvme", {{"drive", "disk0"}, {"serial", "0123"}}};
  nacre_pci* function_ = nullptr;
  std::array<Queue, 2> queues_{Queue{kQueues, kQueues + 0x1000}, Queue{kQueues + 0x2000, kQueues + 0x3000}};
  uint16_t id_ = 0;
};

TEST_F(Nvme, SaysWhatItIs) {
  EXPECT_EQ(function_->read_config(8, 4) >> 8, 0x010802u);
  enable();
  ASSERT_EQ(run(0, {.opcode = nvme::kIdentify, .prp1 = kData, .dw10 = 1}), nvme::kSuccess);
  EXPECT_EQ(std::string(reinterpret_cast<char*>(memory(kData + 4, 6)), 6), "0123  ");
  ASSERT_EQ(run(0, {.opcode = nvme::kIdentify, .nsid = 1, .prp1 = kData}), nvme::kSuccess);
  uint64_t blocks;
  std::memcpy(&blocks, memory(kData, 8), sizeof blocks);
  EXPECT_EQ(blocks, nacre_block::kCapacity / 512);
  EXPECT_EQ(function_->interrupts(0), 2u);
}

TEST_F(Nvme, WritesReadsAndFlushes) {
  enable();
  create_io_queues();
  // 20 KiB from the middle of a page on: a list of pages.
  constexpr uint32_t kBytes = 20 << 10;
  std::iota(memory(kData + 512, kBytes), memory(kData + 512, kBytes) + kBytes, 1);
  for (uint64_t i = 0; i < 5; ++i) {
    const uint64_t page = kData + (i + 1) * nvme::kPage;
    std::memcpy(memory(kList + 8 * i, 8), &page, sizeof page);
  }
  ASSERT_EQ(run(1, transfer(nvme::kWrite, 7, kBytes, kData + 512, kList)), nvme::kSuccess);
  EXPECT_EQ(std::memcmp(disk().content.data() + 7 * 512, memory(kData + 512, kBytes), kBytes), 0);
  ASSERT_EQ(run(1, {.opcode = nvme::kFlush, .nsid = 1}), nvme::kSuccess);
  ASSERT_EQ(run(1, transfer(nvme::kRead, 8, 8192, kList + 0x1000, kList + 0x2000)), nvme::kSuccess);
  EXPECT_EQ(std::memcmp(memory(kList + 0x1000, 8192), disk().content.data() + 8 * 512, 8192), 0);
  for (int i = 0; i < 40; ++i) ASSERT_EQ(run(1, transfer(nvme::kRead, 0, 512, kData, 0)), nvme::kSuccess);
  EXPECT_EQ(function_->interrupts(1), 43u);
  disk().failing = true;
  EXPECT_EQ(run(1, transfer(nvme::kRead, 0, 512, kData, 0)), nvme::kInternalError);
}

TEST_F(Nvme, RefusesWhatIsWrong) {
  enable();
  create_io_queues();
  EXPECT_EQ(run(1, transfer(nvme::kRead, nacre_block::kCapacity / 512, 512, kData, 0)), nvme::kLbaOutOfRange);
  EXPECT_EQ(run(1, transfer(nvme::kRead, 0, 512, uint64_t{1} << 40, 0)), nvme::kTransferError);
  EXPECT_EQ(run(1, transfer(nvme::kRead, 0, 8192, kData, kData + 512)), nvme::kInvalidPrpOffset);
  EXPECT_EQ(run(1, {.opcode = 0x7f, .nsid = 1}), nvme::kInvalidOpcode);
  EXPECT_EQ(run(1, {.opcode = nvme::kFlush, .nsid = 2}), nvme::kInvalidNamespace);
  EXPECT_EQ(run(0, {.opcode = nvme::kDeleteCq, .dw10 = 1}), nvme::kInvalidQueueDeletion);
  EXPECT_EQ(run(0, {.opcode = nvme::kCreateSq, .prp1 = kData, .dw10 = 3 << 16 | 2, .dw11 = 5 << 16 | 1}),
            nvme::kInvalidCq);
  EXPECT_EQ(run(0, {.opcode = nvme::kDeleteSq, .dw10 = 1}), nvme::kSuccess);
  EXPECT_EQ(run(0, {.opcode = nvme::kDeleteCq, .dw10 = 1}), nvme::kSuccess);
}

TEST_F(Nvme, StopsAndBeginsAnew) {
  enable();
  create_io_queues();
  device_.reset();
  EXPECT_EQ(function_->read(0, nvme::kCsts, 4), 0u);
  function_->enable();
  queues_[0] = {kQueues, kQueues + 0x1000};
  queues_[1] = {kQueues + 0x2000, kQueues + 0x3000};
  device_.memory().clear();
  enable();
  create_io_queues();
  EXPECT_EQ(run(1, transfer(nvme::kRead, 0, 512, kData, 0)), nvme::kSuccess);
  // Without bus mastering nothing happens until it is there again.
  function_->write_config(4, 2, 2);
  EXPECT_EQ(run(1, transfer(nvme::kRead, 0, 512, kData, 0)), -1);
  // A shutdown (§7.6.2).
  function_->enable();
  function_->write(0, nvme::kCc, 4, 1 << 14 | nvme::kEnable);
  EXPECT_TRUE(device_.loop().run_until([&] { return (function_->read(0, nvme::kCsts, 4) & nvme::kShutdownDone) != 0; },
                                       std::chrono::seconds(2)));
}

// Commands, lists and doorbells of chance; whatever becomes of them, a reset helps.
TEST_F(Nvme, SurvivesAnyGuest) {
  std::mt19937_64 random(7);
  uint64_t answered = 0;
  for (int round = 0; round < 10; ++round) {
    queues_[0] = {kQueues, kQueues + 0x1000};
    queues_[1] = {kQueues + 0x2000, kQueues + 0x3000};
    device_.memory().clear();
    function_->enable();
    enable();
    create_io_queues();
    for (int step = 0; step < 100; ++step) {
      const uint32_t queue = random() % 2;
      for (uint32_t entry = 0; entry < kEntries; ++entry) {
        const bool mad = random() % 4 == 0;
        Command command{.opcode = static_cast<uint8_t>(random() % 16),
                        .nsid = random() % 8 ? 1 : static_cast<uint32_t>(random()),
                        .prp1 = mad ? random() : kData + random() % 0x40 * 512,
                        .prp2 = mad ? random() : kList + random() % 0x40 * 512,
                        .dw10 = static_cast<uint32_t>(mad ? random() : random() % 16 << 16 | random() % 10),
                        .dw11 = static_cast<uint32_t>(mad ? random() : random() % 4 << 16 | 3),
                        .dw12 = static_cast<uint32_t>(mad ? random() : random() % 1100)};
        if (queue) command.dw11 = mad ? command.dw11 : 0;
        std::memcpy(memory(queues_[queue].sq + entry * sizeof command, sizeof command), &command, sizeof command);
      }
      for (uint64_t at = 0; at < 0x2000; at += 8) {
        const uint64_t page = random() % 16 ? kData + random() % 64 * nvme::kPage : random();
        std::memcpy(memory(kList + at, 8), &page, sizeof page);
      }
      for (int bell = 0; bell < 6; ++bell)
        function_->write(0, nvme::kDoorbells + 4 * (random() % 6), 4, random() % (kEntries + (random() % 32 == 0)));
      device_.loop().settle(std::chrono::milliseconds(2));
    }
    ASSERT_TRUE(device_.memory().canaries_alive());
    answered += function_->interrupts(1);
    device_.reset();
  }
  EXPECT_GT(answered, 100u);
}

}  // namespace
