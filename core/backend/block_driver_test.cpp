// A disk that is no file: what its driver gets to see, and what becomes of what it does.
#include "core/backend/block_driver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/backend/block_channel.hpp"

namespace nacre {
namespace {

using ::testing::ElementsAre;

// Completes at once, or keeps the requests until drain() or give_back().
class Driver : public BlockDriver {
 public:
  void describe(nacre_block_info& info) const override {
    info.capacity = capacity;
    info.alignment = 512;
    info.readonly = readonly;
    info.discard = 1;
  }
  Status open(EventLoop&, nacre_block_completed completed, void* opaque) override {
    if (refuses) return fail("the medium is out.");
    completed_ = completed;
    opaque_ = opaque;
    ++opens;
    return {};
  }
  void close() override { --opens; }
  void submit(nacre_block_request* const* requests, uint32_t n) override {
    EXPECT_FALSE(inside_) << "it was called inside itself";
    inside_ = true;
    for (uint32_t i = 0; i < n; ++i) {
      seen.push_back(requests[i]->op);
      requests[i]->host[4] = requests[i]->host[5] = ~uint64_t{0};  // the driver's own
      kept.push_back(requests[i]);
    }
    if (!waits) give_back();
    inside_ = false;
  }
  void drain() override { give_back(); }

  void give_back() {
    std::vector<nacre_block_request*> done;
    done.swap(kept);
    for (nacre_block_request* request : done)
      if (says_status) request->status = status;
    completed_(opaque_, done.data(), static_cast<uint32_t>(done.size()));
  }

  uint64_t capacity = 4096;
  bool readonly = false, refuses = false, waits = false, says_status = true;
  nacre_status status = NACRE_OK;
  int opens = 0;
  std::vector<uint32_t> seen;
  std::vector<nacre_block_request*> kept;

 private:
  nacre_block_completed completed_ = nullptr;
  void* opaque_ = nullptr;
  bool inside_ = false;
};

class BlockDriverTest : public ::testing::Test {
 protected:
  Status open(uint64_t iops = 0) {
    BlockOptions options;
    options.id = "d";
    options.driver = "test";
    options.iops_total = iops;
    auto made = std::make_unique<Driver>(prototype);
    driver = made.get();
    Result<std::shared_ptr<BlockBackend>> opened = BlockBackend::open(options, std::move(made));
    if (!opened) return opened.error();
    backend = *opened;
    auto taken = BlockChannel::open(backend, *loop, on_completed, this);
    if (!taken) return taken.error();
    channel = std::move(*taken);
    return {};
  }
  nacre_block_request* make(uint32_t op, uint64_t offset, uint64_t length) {
    requests.push_back(std::make_unique<nacre_block_request>());
    nacre_block_request& request = *requests.back();
    request.op = op;
    request.offset = offset;
    request.length = length;
    part = {bytes, length};
    if (op == NACRE_BLOCK_READ || op == NACRE_BLOCK_WRITE) request.iov = &part, request.n_iov = 1;
    return &request;
  }
  void submit(uint32_t op, uint64_t offset = 0, uint64_t length = 512) {
    nacre_block_request* request = make(op, offset, length);
    channel->submit(&request, 1);
  }
  static void on_completed(void* self, nacre_block_request* const* done, uint32_t n) noexcept {
    auto& test = *static_cast<BlockDriverTest*>(self);
    for (uint32_t i = 0; i < n; ++i) test.completed.push_back(done[i]->status);
    if (test.more > 0) {
      --test.more;
      test.submit(NACRE_BLOCK_FLUSH);
    }
  }

  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  Driver prototype;
  Driver* driver = nullptr;
  std::shared_ptr<BlockBackend> backend;
  std::unique_ptr<BlockChannel> channel;
  std::vector<std::unique_ptr<nacre_block_request>> requests;
  std::vector<nacre_status> completed;
  iovec part{};
  uint8_t bytes[8192] = {};
  int more = 0;
};

TEST_F(BlockDriverTest, SeesWhatIsInOrderAndNothingElse) {
  ASSERT_TRUE(open());
  submit(NACRE_BLOCK_READ, 4096, 512);
  submit(NACRE_BLOCK_WRITE, ~uint64_t{0}, 512);
  submit(77);
  EXPECT_THAT(completed, ElementsAre(NACRE_INVALID, NACRE_INVALID, NACRE_UNSUPPORTED));
  EXPECT_TRUE(driver->seen.empty());
  submit(NACRE_BLOCK_WRITE, 3584, 512);
  submit(NACRE_BLOCK_DISCARD, 1, 3);
  submit(NACRE_BLOCK_FLUSH);
  EXPECT_THAT(driver->seen, ElementsAre(NACRE_BLOCK_WRITE, NACRE_BLOCK_DISCARD, NACRE_BLOCK_FLUSH));
  const BlockStatistics& statistics = backend->statistics();
  EXPECT_EQ(statistics.of(NACRE_BLOCK_WRITE).bytes, 512u);
  nacre_block_info info{};
  info.size = sizeof info;
  backend->describe(info);
  EXPECT_EQ(info.capacity, 4096u);
  EXPECT_TRUE(info.discard && !info.write_zeroes);
}

TEST_F(BlockDriverTest, SaysThatItCannotBeWritten) {
  prototype.readonly = true;
  ASSERT_TRUE(open());
  submit(NACRE_BLOCK_WRITE);
  submit(NACRE_BLOCK_READ);
  EXPECT_THAT(completed, ElementsAre(NACRE_DENIED, NACRE_OK));
}

TEST_F(BlockDriverTest, IsNotCalledInsideItself) {
  ASSERT_TRUE(open());
  more = 1000;  // each completion submits the next
  submit(NACRE_BLOCK_FLUSH);
  EXPECT_EQ(completed.size(), 1001u);
}

TEST_F(BlockDriverTest, CompletesLaterOrWhenDrained) {
  prototype.waits = true;
  ASSERT_TRUE(open(2));
  for (int i = 0; i < 5; ++i) submit(NACRE_BLOCK_READ);
  EXPECT_LT(driver->kept.size(), 5u);  // the rest waits for the limit
  EXPECT_TRUE(completed.empty());
  channel->drain();
  EXPECT_EQ(completed.size(), 5u);
  EXPECT_EQ(driver->opens, 1);
  channel.reset();
  EXPECT_EQ(driver->opens, 0);
}

TEST_F(BlockDriverTest, ThatForgetsTheStatusHasFailed) {
  prototype.says_status = false;
  ASSERT_TRUE(open());
  int reported = 0;
  backend->on_failure([&](const BlockBackend::Failure&) { ++reported; });
  submit(NACRE_BLOCK_READ);
  EXPECT_THAT(completed, ElementsAre(NACRE_IO));
  EXPECT_EQ(reported, 1);
}

TEST_F(BlockDriverTest, ThatCompletesTwiceIsHeardOnce) {
  prototype.waits = true;
  ASSERT_TRUE(open());
  submit(NACRE_BLOCK_READ);
  driver->kept.push_back(driver->kept.front());
  driver->give_back();
  EXPECT_EQ(completed.size(), 1u);
}

TEST_F(BlockDriverTest, IsRefusedInWords) {
  prototype.capacity = 513;
  EXPECT_THAT(open().error().message, ::testing::HasSubstr("513 bytes, which is not a multiple of 512"));
  prototype = {};
  prototype.refuses = true;
  EXPECT_EQ(open().error().message, "the medium is out.");
}

}  // namespace
}  // namespace nacre
