#include "nacre/vhost_user.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace nacre::sdk {
namespace {

using namespace vhost_user;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The other end in a thread of its own: it remembers each request and answers as `answer` says.
class BackEnd {
 public:
  struct Message {
    Header header{};
    std::vector<uint8_t> payload;
    size_t fds = 0;

    template <typename T>
    T as() const {
      T value{};
      std::memcpy(&value, payload.data(), std::min(sizeof value, payload.size()));
      return value;
    }
  };
  using Answer = std::function<void(BackEnd&, const Message&)>;

  explicit BackEnd(Answer answer) : answer_(std::move(answer)) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
    mine_ = pair[0];
    theirs_ = pair[1];
    thread_ = std::thread([this] { serve(); });
  }
  ~BackEnd() { join(); }

  int take_fd() { return std::exchange(theirs_, -1); }
  // After the front end has closed its end, or this has.
  void join() {
    if (thread_.joinable()) thread_.join();
    hang_up();
  }
  void hang_up() {
    if (mine_ >= 0) ::close(std::exchange(mine_, -1));
  }
  void put(const void* data, size_t size) {
    EXPECT_EQ(::send(mine_, data, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
  }
  void reply(uint32_t request, uint64_t number) {
    const Header header{request, kVersion | kReply, sizeof number};
    put(&header, sizeof header);
    put(&number, sizeof number);
  }

  std::vector<Message> seen;  // to be read after join()
  std::vector<uint32_t> requests() const {
    std::vector<uint32_t> all;
    for (const Message& message : seen) all.push_back(message.header.request);
    return all;
  }
  const Message& of(uint32_t request) const {
    for (const Message& message : seen)
      if (message.header.request == request) return message;
    static const Message kNone;
    ADD_FAILURE() << "request " << request << " did not come";
    return kNone;
  }

 private:
  void serve() {
    for (;;) {
      Message message;
      iovec piece{&message.header, sizeof message.header};
      alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
      msghdr raw{};
      raw.msg_iov = &piece;
      raw.msg_iovlen = 1;
      raw.msg_control = control;
      raw.msg_controllen = sizeof control;
      if (mine_ < 0 || ::recvmsg(mine_, &raw, MSG_WAITALL) != sizeof message.header) return;
      for (cmsghdr* at = CMSG_FIRSTHDR(&raw); at; at = CMSG_NXTHDR(&raw, at)) {
        message.fds = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < message.fds; ++i) {
          int fd;
          std::memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
          EXPECT_GE(::fcntl(fd, F_GETFD), 0);
          ::close(fd);
        }
      }
      message.payload.resize(message.header.size);
      if (message.header.size &&
          ::recv(mine_, message.payload.data(), message.header.size, MSG_WAITALL) != message.header.size)
        return;
      seen.push_back(message);
      answer_(*this, seen.back());
    }
  }

  Answer answer_;
  int mine_ = -1, theirs_ = -1;
  std::thread thread_;
};

constexpr uint64_t kBackEndFeatures = uint64_t{1} << 28 | uint64_t{1} << 32 | uint64_t{1} << kFeatureProtocol;

// What virtiofsd does.
void well(BackEnd& end, const BackEnd::Message& message) {
  switch (message.header.request) {
    case kGetFeatures:
      return end.reply(kGetFeatures, kBackEndFeatures);
    case kGetProtocolFeatures:
      return end.reply(kGetProtocolFeatures, ~uint64_t{0});
    case kGetQueueNum:
      return end.reply(kGetQueueNum, 3);
    case kGetVringBase: {
      const Header header{kGetVringBase, kVersion | kReply, sizeof(VringState)};
      const VringState state{message.as<VringState>().index, 77};
      end.put(&header, sizeof header);
      return end.put(&state, sizeof state);
    }
    default:
      if (message.header.flags & kNeedReply) end.reply(message.header.request, 0);
  }
}

class VhostUserTest : public ::testing::Test {
 protected:
  VhostUserTest() {
    fd_ = ::memfd_create("ram", MFD_CLOEXEC);
    EXPECT_EQ(::ftruncate(fd_, kSize), 0);
    ram_ = static_cast<uint8_t*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    regions_[0] = {0, kSize / 2, ram_, 0, fd_, 0};
    regions_[1] = {1ull << 32, kSize / 2, ram_ + kSize / 2, 0, fd_, kSize / 2};
    view_.size = sizeof view_;
    view_.n_regions = 2;
    view_.region_size = sizeof(nacre_memory_region);
    view_.regions = regions_;
    queue_.num = 64;
    queue_.desc = 0x1000;
    queue_.avail = 0x2000;
    queue_.used = (1ull << 32) + 0x100;
    queue_.first = 5;
    queue_.kick_fd = ::eventfd(0, EFD_CLOEXEC);
    queue_.call_fd = ::eventfd(0, EFD_CLOEXEC);
    queue_.ready = 1;
  }
  ~VhostUserTest() override {
    ::munmap(ram_, kSize);
    for (int fd : {fd_, queue_.kick_fd, queue_.call_fd}) ::close(fd);
  }
  MemoryView memory() const { return MemoryView(&view_); }

  static constexpr size_t kSize = 1 << 20;
  int fd_ = -1;
  uint8_t* ram_ = nullptr;
  nacre_memory_region regions_[2];
  nacre_memory_view view_{};
  nacre_virtqueue queue_{};
};

TEST_F(VhostUserTest, GoesThroughItsWholeLife) {
  BackEnd end(well);
  {
    VhostUser front(end.take_fd());
    ASSERT_TRUE(front.begin());
    EXPECT_EQ(front.features(), kBackEndFeatures & ~(uint64_t{1} << kFeatureProtocol));
    EXPECT_EQ(front.max_queues(), 3u);
    ASSERT_TRUE(front.prepare(uint64_t{1} << 32, memory()));
    ASSERT_TRUE(front.start_ring(1, queue_, memory()));
    Result<uint16_t> stopped = front.stop_ring(1);
    ASSERT_TRUE(stopped);
    EXPECT_EQ(*stopped, 77);
    EXPECT_TRUE(front.alive());
  }
  end.join();
  EXPECT_THAT(end.requests(), ElementsAre(kGetFeatures, kGetProtocolFeatures, kSetProtocolFeatures, kSetOwner,
                                          kGetQueueNum, kSetFeatures, kSetMemTable, kSetVringNum, kSetVringBase,
                                          kSetVringAddr, kSetVringCall, kSetVringKick, kSetVringEnable, kGetVringBase));
  for (const BackEnd::Message& message : end.seen)
    EXPECT_EQ(message.header.flags & (kVersionMask | kReply), kVersion) << message.header.request;
  EXPECT_EQ(end.of(kSetProtocolFeatures).as<uint64_t>(), 1u << kProtocolMultiqueue | 1u << kProtocolReplyAck);
  EXPECT_EQ(end.of(kSetFeatures).as<uint64_t>(), uint64_t{1} << 32 | uint64_t{1} << kFeatureProtocol);

  const BackEnd::Message& table = end.of(kSetMemTable);
  EXPECT_EQ(table.fds, 2u);
  EXPECT_EQ(table.payload.size(), 8 + 2 * sizeof(Region));
  EXPECT_EQ(table.as<MemoryTable>().count, 2u);
  const Region second = table.as<MemoryTable>().regions[1];
  EXPECT_EQ(second.gpa, 1ull << 32);
  EXPECT_EQ(second.length, kSize / 2);
  EXPECT_EQ(second.user_address, reinterpret_cast<uintptr_t>(ram_ + kSize / 2));
  EXPECT_EQ(second.offset_in_fd, kSize / 2);

  EXPECT_EQ(end.of(kSetVringNum).as<VringState>().num, 64u);
  EXPECT_EQ(end.of(kSetVringBase).as<VringState>().num, 5u);
  const auto where = end.of(kSetVringAddr).as<VringAddress>();
  EXPECT_EQ(where.index, 1u);
  EXPECT_EQ(where.desc, reinterpret_cast<uintptr_t>(ram_ + 0x1000));
  EXPECT_EQ(where.avail, reinterpret_cast<uintptr_t>(ram_ + 0x2000));
  EXPECT_EQ(where.used, reinterpret_cast<uintptr_t>(ram_ + kSize / 2 + 0x100));
  for (Request request : {kSetVringKick, kSetVringCall}) {
    EXPECT_EQ(end.of(request).as<uint64_t>(), 1u);
    EXPECT_EQ(end.of(request).fds, 1u);
  }
  EXPECT_EQ(end.of(kSetVringEnable).as<VringState>().num, 1u);
}

TEST_F(VhostUserTest, WorksWithoutProtocolFeatures) {
  BackEnd end([](BackEnd& self, const BackEnd::Message& message) {
    if (message.header.request == kGetFeatures) self.reply(kGetFeatures, uint64_t{1} << 32);
    EXPECT_FALSE(message.header.flags & kNeedReply);
  });
  {
    VhostUser front(end.take_fd());
    ASSERT_TRUE(front.begin());
    EXPECT_EQ(front.max_queues(), 0u);
    ASSERT_TRUE(front.prepare(uint64_t{1} << 32, memory()));
    ASSERT_TRUE(front.start_ring(0, queue_, memory()));
  }
  end.join();
  EXPECT_THAT(end.requests(), ElementsAre(kGetFeatures, kSetOwner, kSetFeatures, kSetMemTable, kSetVringNum,
                                          kSetVringBase, kSetVringAddr, kSetVringCall, kSetVringKick));
}

TEST_F(VhostUserTest, ABackEndThatDiesIsAnError) {
  BackEnd end([](BackEnd& self, const BackEnd::Message& message) {
    if (message.header.request == kSetMemTable) return self.hang_up();
    well(self, message);
  });
  VhostUser front(end.take_fd());
  ASSERT_TRUE(front.begin());
  Status prepared = front.prepare(0, memory());
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.error().message, HasSubstr("it has closed the connection"));
  EXPECT_FALSE(front.alive());
  EXPECT_THAT(front.stop_ring(0).error().message, HasSubstr("has gone"));
}

TEST_F(VhostUserTest, ASilentBackEndIsGivenUp) {
  BackEnd end([](BackEnd&, const BackEnd::Message&) {});
  VhostUser front(end.take_fd());
  const auto began = std::chrono::steady_clock::now();
  Status status = front.begin();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("does not answer"));
  EXPECT_FALSE(front.begin());
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, VhostUser::kPatience - std::chrono::milliseconds(100));
  EXPECT_LT(took, VhostUser::kPatience * 2);
  front.close();
}

TEST_F(VhostUserTest, WrongAnswersAreErrors) {
  const Header wrong[] = {{kSetOwner, kVersion | kReply, 8},     // to another request
                          {kGetFeatures, kVersion, 8},           // no reply
                          {kGetFeatures, kReply | 2, 8},         // another version
                          {kGetFeatures, kVersion | kReply, 4},  // too short
                          {kGetFeatures, kVersion | kReply, ~0u}};
  for (const Header& header : wrong) {
    BackEnd end([&](BackEnd& self, const BackEnd::Message&) { self.put(&header, sizeof header); });
    VhostUser front(end.take_fd());
    Status status = front.begin();
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("what is no answer to it"));
    EXPECT_FALSE(front.alive());
    front.close();
  }
}

TEST_F(VhostUserTest, ARefusalIsAnError) {
  BackEnd end([](BackEnd& self, const BackEnd::Message& message) {
    if (message.header.request == kSetMemTable) return self.reply(kSetMemTable, 1);
    well(self, message);
  });
  VhostUser front(end.take_fd());
  ASSERT_TRUE(front.begin());
  EXPECT_THAT(front.prepare(0, memory()).error().message, HasSubstr("refuses request 5"));
  front.close();
}

TEST_F(VhostUserTest, PrivateMemoryAndRingsOutsideItAreRefused) {
  BackEnd end(well);
  VhostUser front(end.take_fd());
  ASSERT_TRUE(front.begin());
  queue_.used = 1ull << 40;
  EXPECT_THAT(front.start_ring(0, queue_, memory()).error().message, HasSubstr("not in memory"));
  regions_[1].fd = -1;
  EXPECT_THAT(front.prepare(0, memory()).error().message, HasSubstr("mem-share=on"));
  EXPECT_TRUE(front.alive());
  front.close();
}

}  // namespace
}  // namespace nacre::sdk
