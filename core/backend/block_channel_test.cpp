#include "core/backend/block_channel.hpp"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "core/backend/test_files.hpp"

namespace nacre {
namespace {

constexpr uint64_t kDisk = 4u << 20;

struct Engine {
  const char* name;
  BlockAio aio;
  bool direct;
};

void PrintTo(const Engine& engine, std::ostream* out) {
  *out << engine.name;
}

// A request with memory of its own.
struct Request {
  nacre_block_request abi{};
  std::vector<iovec> iov;
  std::unique_ptr<char, decltype(&::free)> memory{nullptr, &::free};
  int completions = 0;

  char* data() { return memory.get() + skew; }
  size_t skew = 0;
};

class Driver {
 public:
  Driver(BlockOptions options, EventLoop& loop) : loop_(loop) {
    auto backend = BlockBackend::open(std::move(options));
    EXPECT_TRUE(backend) << (backend ? "" : backend.error().message);
    backend_ = *backend;
    auto channel = BlockChannel::open(backend_, loop, &Driver::completed, this);
    EXPECT_TRUE(channel);
    channel_ = std::move(*channel);
  }
  ~Driver() { channel_->drain(); }

  // `pieces` buffers, each `skew` bytes off its alignment.
  Request& make(uint32_t op, uint64_t offset, uint64_t length, uint32_t pieces = 1, size_t skew = 0) {
    Request& request = requests_.emplace_back();
    request.skew = skew;
    if (op == NACRE_BLOCK_READ || op == NACRE_BLOCK_WRITE) {
      request.memory.reset(static_cast<char*>(::aligned_alloc(4096, (length + skew + 8191) / 4096 * 4096)));
      for (uint32_t i = 0; i < pieces; ++i)
        request.iov.push_back({request.data() + length / pieces * i,
                               static_cast<size_t>(i + 1 == pieces ? length - length / pieces * i : length / pieces)});
    }
    request.abi.op = op;
    request.abi.offset = offset;
    request.abi.length = length;
    request.abi.iov = request.iov.data();
    request.abi.n_iov = static_cast<uint32_t>(request.iov.size());
    request.abi.status = 12345;
    return request;
  }
  void submit(std::vector<Request*> requests) {
    std::vector<nacre_block_request*> list;
    for (Request* request : requests) list.push_back(&request->abi);
    submitted_ += list.size();
    channel_->submit(list.data(), static_cast<uint32_t>(list.size()));
  }
  // Serves the loop until everything is completed.
  void finish() {
    while (completed_ < submitted_) {
      waiting_ = true;
      loop_.run();
      waiting_ = false;
    }
  }
  nacre_status one(Request& request) {
    submit({&request});
    finish();
    return request.abi.status;
  }
  nacre_status write(uint64_t offset, const std::string& data) {
    Request& request = make(NACRE_BLOCK_WRITE, offset, data.size());
    std::memcpy(request.data(), data.data(), data.size());
    return one(request);
  }
  std::string read(uint64_t offset, uint64_t length) {
    Request& request = make(NACRE_BLOCK_READ, offset, length);
    EXPECT_EQ(one(request), NACRE_OK);
    return std::string(request.data(), length);
  }

  BlockChannel& channel() { return *channel_; }
  BlockBackend& backend() { return *backend_; }
  size_t completed_count() const { return completed_; }
  std::deque<Request>& requests() { return requests_; }
  uint32_t largest_batch = 0;
  std::function<void(Request&)> on_completed;

 private:
  static void completed(void* opaque, nacre_block_request* const* list, uint32_t n) noexcept {
    auto* self = static_cast<Driver*>(opaque);
    self->largest_batch = std::max(self->largest_batch, n);
    for (uint32_t i = 0; i < n; ++i) {
      auto* request = reinterpret_cast<Request*>(list[i]);
      ++request->completions;
      ++self->completed_;
      if (self->on_completed) self->on_completed(*request);
    }
    if (self->waiting_ && self->completed_ == self->submitted_) self->loop_.stop();
  }

  EventLoop& loop_;
  std::shared_ptr<BlockBackend> backend_;
  std::unique_ptr<BlockChannel> channel_;
  std::deque<Request> requests_;
  size_t submitted_ = 0;
  size_t completed_ = 0;
  bool waiting_ = false;
};

class BlockEngine : public ::testing::TestWithParam<Engine> {
 protected:
  void SetUp() override { loop_ = std::move(*EventLoop::create()); }
  BlockOptions options() {
    BlockOptions wanted;
    wanted.id = "disk0";
    wanted.file = file_;
    wanted.aio = GetParam().aio;
    wanted.direct = GetParam().direct;
    return wanted;
  }

  TestDirectory dir_;
  std::string file_ = dir_.file("disk", kDisk);
  std::unique_ptr<EventLoop> loop_;
};

TEST_P(BlockEngine, RandomWritesAndReadsWith64InFlight) {
  Driver driver(options(), *loop_);
  std::string model(kDisk, 0);
  std::mt19937 random(7);
  constexpr uint64_t kSlice = kDisk / 64;
  for (int round = 0; round < 12; ++round) {
    std::vector<Request*> batch;
    for (uint64_t i = 0; i < 64; ++i) {  // one per slice: no two overlap
      // In sectors and skews that direct I/O does not always take as they are.
      uint64_t offset = i * kSlice + random() % 32 * 512;
      uint64_t length = (1 + random() % 64) * 512;
      bool write = random() % 2;
      Request& request = driver.make(write ? NACRE_BLOCK_WRITE : NACRE_BLOCK_READ, offset, length,
                                     1 + static_cast<uint32_t>(random() % 5), random() % 4 == 0 ? random() % 500 : 0);
      if (write) {
        for (uint64_t k = 0; k < length; ++k) request.data()[k] = static_cast<char>(random());
        model.replace(offset, length, request.data(), length);
      }
      batch.push_back(&request);
    }
    driver.submit(batch);
    driver.finish();
    for (Request* request : batch) {
      ASSERT_EQ(request->abi.status, NACRE_OK);
      ASSERT_EQ(request->completions, 1);
      ASSERT_EQ(model.compare(request->abi.offset, request->abi.length, request->data(), request->abi.length), 0);
    }
    driver.requests().clear();
  }
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  EXPECT_TRUE(content_of(file_) == model);
}

TEST_P(BlockEngine, MoreRequestsThanTheRingHolds) {
  Driver driver(options(), *loop_);
  std::vector<Request*> batch;
  for (uint64_t i = 0; i < 1000; ++i) batch.push_back(&driver.make(NACRE_BLOCK_READ, i * 4096, 4096));
  driver.submit(batch);
  driver.finish();
  for (Request* request : batch) {
    ASSERT_EQ(request->abi.status, NACRE_OK);
    ASSERT_EQ(request->completions, 1);
  }
}

TEST_P(BlockEngine, MoreBuffersThanOneSystemCallTakes) {
  Driver driver(options(), *loop_);
  Request& write = driver.make(NACRE_BLOCK_WRITE, 0, 2000 * 512, 2000);
  for (size_t i = 0; i < 2000 * 512; ++i) write.data()[i] = static_cast<char>(i * 7 + i / 512);
  EXPECT_EQ(driver.one(write), NACRE_OK);
  EXPECT_TRUE(driver.read(0, 2000 * 512) == std::string(write.data(), 2000 * 512));
}

TEST_P(BlockEngine, CompletionsMaySubmit) {
  Driver driver(options(), *loop_);
  int left = 5000;
  driver.on_completed = [&](Request& request) {
    if (left-- > 0) driver.submit({&request});
  };
  driver.submit({&driver.make(NACRE_BLOCK_READ, 0, 512), &driver.make(NACRE_BLOCK_READ, 512, 512)});
  driver.finish();
  EXPECT_EQ(driver.completed_count(), 5002u);
}

TEST_P(BlockEngine, DiscardGivesBlocksBack) {
  BlockOptions wanted = options();
  wanted.discard = true;
  Driver driver(wanted, *loop_);
  ASSERT_EQ(driver.write(0, std::string(1u << 20, 'x')), NACRE_OK);
  ASSERT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  struct stat before {};
  struct stat after {};
  ::stat(file_.c_str(), &before);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_DISCARD, 4096, 512u << 10)), NACRE_OK);
  ::stat(file_.c_str(), &after);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_EQ(static_cast<uint64_t>(after.st_size), kDisk);
  EXPECT_TRUE(driver.read(4096, 512u << 10) == std::string(512u << 10, 0));
  EXPECT_EQ(driver.read(0, 512), std::string(512, 'x'));
}

TEST_P(BlockEngine, DiscardThatIsNotAskedForChangesNothing) {
  Driver driver(options(), *loop_);
  ASSERT_EQ(driver.write(0, std::string(8192, 'x')), NACRE_OK);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_DISCARD, 0, 8192)), NACRE_OK);
  EXPECT_EQ(driver.read(0, 8192), std::string(8192, 'x'));
}

TEST_P(BlockEngine, WriteZeroes) {
  BlockOptions wanted = options();
  wanted.discard = true;
  Driver driver(wanted, *loop_);
  for (uint32_t flags : {0u, uint32_t{NACRE_BLOCK_UNMAP}}) {
    ASSERT_EQ(driver.write(0, std::string(256u << 10, 'x')), NACRE_OK);
    Request& zero = driver.make(NACRE_BLOCK_WRITE_ZEROES, 512, 128u << 10);
    zero.abi.flags = flags;
    EXPECT_EQ(driver.one(zero), NACRE_OK);
    EXPECT_EQ(driver.read(0, 512), std::string(512, 'x'));
    EXPECT_TRUE(driver.read(512, 128u << 10) == std::string(128u << 10, 0));
    EXPECT_EQ(driver.read(512 + (128u << 10), 512), std::string(512, 'x'));
  }
}

TEST_P(BlockEngine, DetectedZeroesBecomeHoles) {
  BlockOptions wanted = options();
  wanted.discard = true;
  wanted.detect_zeroes = DetectZeroes::Unmap;
  Driver driver(wanted, *loop_);
  ASSERT_EQ(driver.write(0, std::string(1u << 20, 'x')), NACRE_OK);
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  ::stat(file_.c_str(), &before);
  ASSERT_EQ(driver.write(0, std::string(1u << 20, 0)), NACRE_OK);
  ASSERT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  ::stat(file_.c_str(), &after);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_TRUE(driver.read(0, 1u << 20) == std::string(1u << 20, 0));
}

TEST_P(BlockEngine, WrongRequestsAreRefused) {
  Driver driver(options(), *loop_);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, kDisk, 512)), NACRE_INVALID);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, UINT64_MAX - 511, 512)), NACRE_INVALID);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_DISCARD, 512, UINT64_MAX)), NACRE_INVALID);
  EXPECT_EQ(driver.one(driver.make(99, 0, 0)), NACRE_UNSUPPORTED);
  Request& longer = driver.make(NACRE_BLOCK_READ, 0, 1024);
  longer.abi.length = 512;
  EXPECT_EQ(driver.one(longer), NACRE_INVALID);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, 0, 0)), NACRE_OK);
}

TEST_P(BlockEngine, ReadOnlyRefusesChanges) {
  BlockOptions wanted = options();
  wanted.readonly = true;
  Driver driver(wanted, *loop_);
  EXPECT_EQ(driver.write(0, std::string(512, 'x')), NACRE_DENIED);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_DISCARD, 0, 512)), NACRE_DENIED);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_WRITE_ZEROES, 0, 512)), NACRE_DENIED);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  EXPECT_EQ(driver.read(0, 512), std::string(512, 0));
}

TEST_P(BlockEngine, AFileThatBecameShorterIsAnError) {
  Driver driver(options(), *loop_);
  ASSERT_EQ(::truncate(file_.c_str(), kDisk / 2), 0);
  Request& across = driver.make(NACRE_BLOCK_READ, kDisk / 2 - 4096, 8192, 2);
  EXPECT_EQ(driver.one(across), NACRE_IO);
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, kDisk / 2 - 4096, 4096)), NACRE_OK);
}

// Whoever watches is told why, once a second at most, and the counters know of every one.
TEST_P(BlockEngine, FailuresAreToldAndCounted) {
  Driver driver(options(), *loop_);
  std::mutex lock;  // workers tell from their own threads
  std::vector<BlockBackend::Failure> told;
  driver.backend().on_failure([&](const BlockBackend::Failure& failure) {
    std::lock_guard held(lock);
    told.push_back(failure);
  });
  EXPECT_EQ(driver.write(0, std::string(4096, 'x')), NACRE_OK);
  EXPECT_EQ(driver.read(0, 8192), std::string(4096, 'x') + std::string(4096, 0));
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_FLUSH, 0, 0)), NACRE_OK);
  ASSERT_EQ(::truncate(file_.c_str(), kDisk / 2), 0);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, kDisk / 2 + 4096, 4096)), NACRE_IO);

  std::lock_guard held(lock);
  ASSERT_GE(told.size(), 1u);
  EXPECT_LT(told.size(), 20u);
  EXPECT_STREQ(told[0].what, "read");
  EXPECT_EQ(told[0].reason(), "the file is shorter than when it was opened");
  const BlockStatistics& statistics = driver.backend().statistics();
  EXPECT_EQ(statistics.of(NACRE_BLOCK_READ).operations, 1u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_READ).bytes, 8192u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_READ).failed, 20u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_WRITE).operations, 1u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_WRITE).bytes, 4096u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_WRITE).failed, 0u);
  EXPECT_EQ(statistics.of(NACRE_BLOCK_FLUSH).operations, 1u);
}

TEST_P(BlockEngine, DrainReturnsWithNothingInFlight) {
  Driver driver(options(), *loop_);
  std::vector<Request*> batch;
  for (uint64_t i = 0; i < 400; ++i)
    batch.push_back(&driver.make(i % 3 ? NACRE_BLOCK_READ : NACRE_BLOCK_WRITE_ZEROES, i * 4096, 4096));
  driver.submit(batch);
  driver.channel().drain();
  EXPECT_EQ(driver.completed_count(), 400u);
  // The loop is of use afterwards.
  EXPECT_EQ(driver.one(driver.make(NACRE_BLOCK_READ, 0, 512)), NACRE_OK);
}

TEST_P(BlockEngine, LimitOfRequestsPerSecond) {
  BlockOptions wanted = options();
  wanted.iops_total = 100;
  Driver driver(wanted, *loop_);
  std::vector<Request*> batch;
  for (uint64_t i = 0; i < 130; ++i) batch.push_back(&driver.make(NACRE_BLOCK_READ, 0, 512));
  auto start = std::chrono::steady_clock::now();
  driver.submit(batch);
  driver.finish();
  auto time = std::chrono::steady_clock::now() - start;
  EXPECT_GE(time, std::chrono::milliseconds(290));
  EXPECT_LT(time, std::chrono::seconds(20));
  // What waits is not forgotten by a drain. On a slow host the limit may allow a second's worth meanwhile, not three.
  batch.clear();
  for (uint64_t i = 0; i < 300; ++i) batch.push_back(&driver.make(NACRE_BLOCK_READ, 0, 512));
  driver.submit(batch);
  driver.channel().drain();
  int busy = 0;
  for (Request* request : batch) busy += request->abi.status == NACRE_BUSY;
  EXPECT_GE(busy, 100);
}

INSTANTIATE_TEST_SUITE_P(Engines, BlockEngine,
                         ::testing::Values(Engine{"sync", BlockAio::Off, false},
                                           Engine{"threads", BlockAio::Threads, false},
                                           Engine{"threads_direct", BlockAio::Threads, true},
                                           Engine{"io_uring", BlockAio::IoUring, false},
                                           Engine{"native", BlockAio::Native, true}),
                         [](const auto& tested) { return tested.param.name; });

TEST(BlockChannel, ARingThatRefusesIsReplacedByWorkers) {
  TestDirectory dir;
  BlockOptions wanted;
  wanted.id = "disk0";
  wanted.file = dir.file("disk", kDisk);
  wanted.direct = false;
  wanted.aio = BlockAio::IoUring;
  auto loop = std::move(*EventLoop::create());
  Driver driver(wanted, *loop);
  ASSERT_EQ(driver.write(0, std::string(512, 'a')), NACRE_OK);
  // A kernel that knows SINGLE_ISSUER refuses another thread's submissions.
  std::thread([&] {
    loop->adopt();
    EXPECT_EQ(driver.write(512, std::string(512, 'b')), NACRE_OK);
    EXPECT_EQ(driver.read(0, 1024), std::string(512, 'a') + std::string(512, 'b'));
  }).join();
  loop->adopt();
  EXPECT_EQ(driver.read(512, 512), std::string(512, 'b'));
}

TEST(BlockChannel, WorksWithoutIoUring) {
  TestDirectory dir;
  BlockOptions wanted;
  wanted.id = "disk0";
  wanted.file = dir.file("disk", kDisk);
  wanted.direct = true;
  wanted.aio = BlockAio::Native;
  auto without = [&] {
    // As under a system call filter that does not know io_uring.
    sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog filter{4, program};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
      ::_exit(3);
    auto loop = std::move(*EventLoop::create());
    Driver driver(wanted, *loop);
    bool written = driver.write(0, std::string(4096, 'x')) == NACRE_OK;
    bool read = driver.read(0, 4096) == std::string(4096, 'x');
    ::_exit(written && read && driver.channel().engine() == BlockAio::Threads ? 0 : 1);
  };
  // In a process that is started anew, not forked: the sanitizers allow no threads after a fork with threads.
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(without(), ::testing::ExitedWithCode(0), "io_uring cannot be used here");
}

TEST(BlockChannel, TwoChannelsShareOneLimit) {
  TestDirectory dir;
  BlockOptions wanted;
  wanted.id = "disk0";
  wanted.file = dir.file("disk", kDisk);
  wanted.direct = false;
  wanted.iops_total = 100;
  auto loop = std::move(*EventLoop::create());
  Driver driver(wanted, *loop);
  std::vector<Request*> batch;
  for (int i = 0; i < 90; ++i) batch.push_back(&driver.make(NACRE_BLOCK_FLUSH, 0, 0));
  driver.submit(batch);
  EXPECT_EQ(driver.completed_count(), 90u);
  // The other queue of the same drive finds the bucket almost empty.
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  uint64_t ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  int more = 0;
  while (driver.backend().throttle().take(ns) == 0) ++more;
  EXPECT_LT(more, 90);
}

}  // namespace
}  // namespace nacre
