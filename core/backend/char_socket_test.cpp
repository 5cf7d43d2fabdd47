#include "core/backend/char_socket.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "core/backend/listen_socket.hpp"
#include "core/backend/test_chardev.hpp"
#include "core/backend/test_files.hpp"

namespace nacre {
namespace {

using ::testing::HasSubstr;

Fd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  return client;
}

void send_text(const Fd& fd, const std::string& text) {
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

// What is there now, appended; true at the end of the stream.
bool receive(const Fd& fd, std::string& text) {
  char data[65536];
  for (;;) {
    ssize_t n = ::read(fd.get(), data, sizeof data);
    if (n > 0)
      text.append(data, static_cast<size_t>(n));
    else
      return n == 0;
  }
}

class CharSocketTest : public ::testing::Test {
 protected:
  CharSocketTest() {
    CharSocketOptions options;
    options.id = "con0";
    options.path = path_;
    options.server = options.nowait = true;
    auto made = open_char_socket(options);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    front_ = std::make_unique<TestFrontEnd>(std::move(*made));
    EXPECT_EQ(front_->attach_error, "");
  }
  TestDirectory dir_;
  std::string path_ = dir_.path("console");
  std::unique_ptr<TestFrontEnd> front_;
};

TEST(CharSocketOptions, ListensWithoutWaitingOrNotAtAll) {
  CharSocketOptions options;
  options.id = "con0";
  options.path = "/tmp/x";
  options.server = true;
  TestFrontEnd waits(std::move(*open_char_socket(options)));
  EXPECT_THAT(waits.attach_error, HasSubstr("add 'nowait'"));
  options.path.clear();
  options.nowait = true;
  EXPECT_THAT(open_char_socket(options).error().message, HasSubstr("'path=' or 'port='"));
}

TEST_F(CharSocketTest, TalksBothWays) {
  Fd client = connect_to(path_);
  ASSERT_TRUE(front_->until([&] { return front_->opened == 1; }));
  send_text(client, "hello");
  ASSERT_TRUE(front_->until([&] { return front_->input == "hello"; }));
  std::thread([&] { EXPECT_EQ(front_->write("world"), 5u); }).join();
  std::string answer;
  EXPECT_TRUE(front_->until([&] { return receive(client, answer), answer == "world"; }));
  client.close();
  EXPECT_TRUE(front_->until([&] { return front_->closed == 1; }));
}

TEST_F(CharSocketTest, OutputWithoutAClientIsTakenAndDropped) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(front_->write(std::string(4096, 'x')), 4096u);
  Fd client = connect_to(path_);
  ASSERT_TRUE(front_->until([&] { return front_->opened == 1; }));
  front_->write("only this");
  std::string answer;
  EXPECT_TRUE(front_->until([&] { return receive(client, answer), answer == "only this"; }));
}

TEST_F(CharSocketTest, TheNextClientComesWhenOneHasLeft) {
  Fd first = connect_to(path_);
  ASSERT_TRUE(front_->until([&] { return front_->opened == 1; }));
  Fd second = connect_to(path_);
  send_text(second, "second");
  uint64_t before = cpu_ns();
  front_->turn(200'000'000);
  EXPECT_LT(cpu_ns() - before, 50'000'000u) << "a client that waits must not keep the loop busy";
  EXPECT_EQ(front_->input, "");
  first.close();
  EXPECT_TRUE(front_->until([&] { return front_->input == "second"; }));
  EXPECT_EQ(front_->opened, 2);
  EXPECT_EQ(front_->closed, 1);
}

TEST_F(CharSocketTest, ASlowClientStopsTheWriterNotTheLoop) {
  Fd client = connect_to(path_);
  ASSERT_TRUE(front_->until([&] { return front_->opened == 1; }));
  std::string block(8192, 'x');
  size_t taken = 0;
  for (;;) {
    uint32_t n = front_->write(block);
    taken += n;
    if (n < block.size()) break;
    ASSERT_LT(taken, 16u << 20);
  }
  EXPECT_EQ(front_->write("more"), 0u);
  EXPECT_EQ(front_->writable, 0);
  std::string all;
  EXPECT_TRUE(front_->until([&] { return receive(client, all), all.size() == taken; }));
  EXPECT_GE(front_->writable, 1);
  EXPECT_EQ(front_->write("more"), 4u);
}

TEST_F(CharSocketTest, AClientThatLeavesUnderWayIsNoTrouble) {
  for (int i = 0; i < 50; ++i) {
    Fd client = connect_to(path_);
    int before = front_->opened;
    ASSERT_TRUE(front_->until([&] { return front_->opened == before + 1; }));
    std::thread writer([&] { front_->write(std::string(60000, 'x')); });
    client.close();
    writer.join();
    ASSERT_TRUE(front_->until([&] { return front_->closed == i + 1; }));
  }
}

TEST_F(CharSocketTest, NothingIsLeftBehind) {
  Fd client = connect_to(path_);
  ASSERT_TRUE(front_->until([&] { return front_->opened == 1; }));
  std::thread([&] { front_->write("goodbye"); }).join();
  front_->drop_device();
  std::string answer;
  EXPECT_TRUE(receive(client, answer));
  EXPECT_EQ(answer, "goodbye");
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST(CharSocketTcp, TakesAClient) {
  // A port of the system's choice is learned from a socket that is closed again.
  Fd probe(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  probe.close();
  CharSocketOptions options;
  options.id = "con0";
  options.host = "127.0.0.1";
  options.port = ntohs(address.sin_port);
  options.server = options.nowait = true;
  auto made = open_char_socket(options);
  ASSERT_TRUE(made) << made.error().message;
  TestFrontEnd front(std::move(*made));
  Fd client(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  send_text(client, "over tcp");
  EXPECT_TRUE(front.until([&] { return front.input == "over tcp"; }));
}

TEST(CharSocketDial, ConnectsToWhoListens) {
  TestDirectory dir;
  CharSocketOptions options;
  options.id = "fs0";
  options.path = dir.path("fs");
  auto made = open_char_socket(options);
  ASSERT_TRUE(made);
  EXPECT_EQ((*made)->filename(), "unix:" + options.path);
  EXPECT_THAT((*made)->dial().error().message, HasSubstr("cannot connect to the socket"));
  auto listener = ListenSocket::open_unix("the other end", options.path);
  ASSERT_TRUE(listener);
  auto fd = (*made)->dial();
  ASSERT_TRUE(fd) << fd.error().message;
  Fd served = (*listener)->accept();
  ASSERT_TRUE(served);
  send_text(served, "x");
  char byte = 0;
  EXPECT_EQ(::read(fd->get(), &byte, 1), 1);
}

TEST(CharSocketDial, OnlyUnixSocketsCanBeDialled) {
  CharSocketOptions options;
  options.id = "fs0";
  options.port = 4444;
  auto made = open_char_socket(options);
  ASSERT_TRUE(made);
  EXPECT_THAT((*made)->dial().error().message, HasSubstr("is no Unix socket"));
}

}  // namespace
}  // namespace nacre
