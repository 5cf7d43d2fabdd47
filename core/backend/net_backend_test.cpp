#include "core/backend/net_backend.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>

#include "core/backend/net_stream.hpp"

namespace nacre {
namespace {

using ::testing::HasSubstr;

std::string refusal(const NetOptions& options) {
  auto backend = NetBackend::open(options);
  return backend ? "" : backend.error().message;
}

NetOptions tap() {
  NetOptions options;
  options.id = "net0";
  return options;
}

TEST(NetOptionsTest, WhatDoesNotGoTogether) {
  EXPECT_THAT(refusal({}), HasSubstr("needs an id"));
  NetOptions options = tap();
  EXPECT_THAT(refusal(options), HasSubstr("Tap device is missing, use 'ifname' or 'fd' to configure a tap device"));
  options.ifname = "sixteen-bytes-xx";
  EXPECT_THAT(refusal(options), HasSubstr("at most 15 bytes"));
  options.ifname = "tap0";
  options.queues = 17;
  EXPECT_THAT(refusal(options), HasSubstr("1 to 16"));
  options.queues = 0;
  options.vhostfds = {5};
  EXPECT_THAT(refusal(options), HasSubstr("Argument 'vhostfd' or 'vhostfds' are not needed for virtio-net device"));
  options.vhost = true;
  options.vhostfds = {5, 6};
  EXPECT_THAT(refusal(options), HasSubstr("The num of vhostfds must equal to fds"));
  options = tap();
  options.path = "/dev/net/tun";
  options.fds = {5};
  EXPECT_THAT(refusal(options), HasSubstr("path goes with ifname"));
  options = tap();
  options.fds = {5, 6};
  options.queues = 3;
  EXPECT_THAT(refusal(options), HasSubstr("does not fit the number of descriptors, 2"));
  options.queues = 0;
  options.fds = {5, 5};
  EXPECT_THAT(refusal(options), HasSubstr("descriptor 5 is given twice"));
  options.kind = NetKind::User;
  EXPECT_THAT(refusal(options), HasSubstr("takes no key but id"));
}

TEST(NetOptionsTest, Pairs) {
  NetOptions options = tap();
  EXPECT_EQ(options.pairs(), 1u);
  options.fds = {5, 6, 7};
  EXPECT_EQ(options.pairs(), 3u);
  options.ifname = "tap0";  // it wins
  EXPECT_EQ(options.pairs(), 1u);
  options.queues = 4;
  EXPECT_EQ(options.pairs(), 4u);
}

TEST(NetOptionsTest, Descriptors) {
  EXPECT_EQ(*parse_descriptors("fds", "3"), std::vector<int>{3});
  EXPECT_EQ(*parse_descriptors("fds", "3:40:5"), (std::vector<int>{3, 40, 5}));
  for (const char* wrong : {"", ":", "3:", ":3", "3::4", "x", "3x", "-1", "99999999999", "3,4", " 3"})
    EXPECT_FALSE(parse_descriptors("fds", wrong)) << wrong;
  EXPECT_THAT(parse_descriptors("-netdev: fds", "3:b").error().message,
              HasSubstr("-netdev: fds: 'b' is not the number"));
}

TEST(NetTapTest, DescriptorsThatAreNoTaps) {
  NetOptions options = tap();
  const int file = ::open("/dev/null", O_RDWR);
  options.fds = {file};
  EXPECT_THAT(refusal(options), HasSubstr("is not a tap"));
  EXPECT_EQ(::fcntl(file, F_GETFD), 0);  // what is refused stays the caller's
  ::close(file);
  EXPECT_THAT(refusal(options), HasSubstr("there is no descriptor"));
}

TEST(NetTapTest, NodesThatMakeNoTaps) {
  NetOptions options = tap();
  options.ifname = "nacre-test";
  options.path = "/dev/null";
  EXPECT_THAT(refusal(options), HasSubstr("'/dev/null' makes no taps"));
  options.path = "/dev/nothing-here";
  EXPECT_THAT(refusal(options), HasSubstr("cannot open '/dev/nothing-here': No such file"));
}

TEST(NetTapTest, AnInterfaceThatIsNoTap) {
  if (::access(NetOptions::kTunNode, R_OK | W_OK) != 0) {
    NetOptions options = tap();
    options.ifname = "lo";
    EXPECT_THAT(refusal(options), HasSubstr("cannot open '/dev/net/tun'"));
    return;
  }
  NetOptions options = tap();
  options.ifname = "lo";
  EXPECT_THAT(refusal(options), testing::AnyOf(HasSubstr("interface 'lo' is no tap"), HasSubstr("makes no taps")));
}

class NetStreamTest : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer_ = Fd(pair[1]);
    int small = 4096;
    ::setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    stream_ = std::make_unique<NetStream>(Fd(pair[0]));
  }
  void peer_sends(const std::string& bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  static std::string framed(const std::string& frame) {
    const uint32_t length = htonl(static_cast<uint32_t>(frame.size()));
    return std::string(reinterpret_cast<const char*>(&length), 4) + frame;
  }
  int64_t receive() {
    const iovec iov[] = {{buffer_, 5}, {buffer_ + 5, 10}, {buffer_ + 15, sizeof buffer_ - 15}};
    std::memset(buffer_, 0xee, sizeof buffer_);
    return stream_->receive(iov, 3);
  }
  std::string peer_gets() {
    std::string all;
    char text[4096];
    for (ssize_t n; (n = ::recv(peer_.get(), text, sizeof text, MSG_DONTWAIT)) > 0;)
      all.append(text, static_cast<size_t>(n));
    return all;
  }

  Fd peer_;
  std::unique_ptr<NetStream> stream_;
  char buffer_[100000];
};

TEST_F(NetStreamTest, TakesFramesApart) {
  EXPECT_EQ(receive(), 0);
  const std::string one(60, 'a'), two(1514, 'b');
  const std::string wire = framed(one) + framed(two) + framed("short") + framed(one);
  peer_sends(wire.substr(0, 2));
  EXPECT_EQ(receive(), 0);
  peer_sends(wire.substr(2, 100));
  EXPECT_EQ(receive(), 72);
  EXPECT_EQ(std::string(buffer_, 12), std::string(12, '\0'));
  EXPECT_EQ(std::string(buffer_ + 12, 60), one);
  EXPECT_EQ(receive(), 0);
  peer_sends(wire.substr(102));
  EXPECT_EQ(receive(), 1526);
  EXPECT_EQ(std::string(buffer_ + 12, 1514), two);
  EXPECT_EQ(receive(), 72);  // the short one was none
  EXPECT_EQ(receive(), 0);
}

TEST_F(NetStreamTest, AThousandLongFrames) {
  const std::string frame(60000, 'x');
  for (int i = 0; i < 1000; ++i) {
    const std::string wire = framed(frame);
    peer_sends(wire);
    ASSERT_EQ(receive(), 60012) << i;
  }
}

TEST_F(NetStreamTest, TheEndAndNonsenseAreSeen) {
  peer_sends(framed(std::string(60, 'a')) + std::string(2, 0));
  peer_.close();
  EXPECT_EQ(receive(), 72);
  EXPECT_EQ(receive(), NACRE_IO);
  EXPECT_EQ(receive(), NACRE_IO);
  SetUp();
  peer_sends("\xff\xff\xff\xff lots");
  EXPECT_EQ(receive(), NACRE_IO);
  EXPECT_EQ(receive(), NACRE_IO);
}

TEST_F(NetStreamTest, SendsWholeFramesWhateverTheRoom) {
  std::string header(12, 'h'), frame(20000, 'f');
  // The header ends inside a buffer.
  iovec iov[] = {{header.data(), 7}, {nullptr, 0}, {nullptr, 0}};
  std::string rest = header.substr(7) + frame;
  iov[1] = {rest.data(), 100};
  iov[2] = {rest.data() + 100, rest.size() - 100};
  int sent = 0;
  while (stream_->send(iov, 3) == 1) ++sent;
  EXPECT_GE(sent, 1);
  EXPECT_LT(sent, 100);
  std::string wire = peer_gets();
  // Room is there again: what was left of the last frame comes, without another frame.
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(receive(), 0);
    wire += peer_gets();
  }
  std::string wanted;
  for (int i = 0; i < sent; ++i) wanted += framed(frame);
  EXPECT_EQ(wire, wanted);
  iov[2] = {rest.data(), 0};
  iov[1] = {rest.data(), 6};
  EXPECT_EQ(stream_->send(iov, 3), NACRE_INVALID);
}

TEST(NetPasstTest, StartsAnswersAndEnds) {
  NetOptions options = tap();
  options.kind = NetKind::User;
  auto backend = NetBackend::open(options);
  ASSERT_TRUE(backend) << backend.error().message;
  nacre_net_info info{};
  (*backend)->describe(info);
  EXPECT_EQ(info.n_queues, 1u);
  EXPECT_EQ((*backend)->vhost_fd(0), -1);
  // Whatever the host lets passt do, it answers a neighbour's question or says why it ends.
  uint8_t frame[12 + 42] = {};
  const uint8_t ask[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0,    0x12, 0x34, 0x56, 8,    6,
                         0,    1,    8,    0,    6,    4,    0,    1,    0x52, 0x54, 0,    0x12, 0x34, 0x56,
                         0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    198,  51,   100,  1};
  static_assert(sizeof ask == 42);
  std::memcpy(frame + 12, ask, sizeof ask);
  const iovec out{frame, sizeof frame};
  EXPECT_EQ((*backend)->send(0, &out, 1), 1);
  pollfd readable{(*backend)->fd(0), POLLIN, 0};
  uint8_t answer[2000];
  const iovec in{answer, sizeof answer};
  int64_t got = 0;
  while (got == 0) {  // a frame may come in pieces
    ASSERT_EQ(::poll(&readable, 1, 20000), 1);
    got = (*backend)->receive(0, &in, 1);
  }
  EXPECT_TRUE(got == NACRE_IO || got >= 12 + 14) << got;
}

}  // namespace
}  // namespace nacre
