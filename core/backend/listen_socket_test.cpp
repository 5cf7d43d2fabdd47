#include "core/backend/listen_socket.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>

#include "core/backend/test_files.hpp"
#include "core/base/log.hpp"

namespace nacre {
namespace {

using ::testing::HasSubstr;

TEST(ListenSocket, IsForItsOwnerOnlyAndGoneAfterwards) {
  TestDirectory dir;
  std::string path = dir.path("s");
  {
    auto socket = ListenSocket::open_unix("qmp", path);
    ASSERT_TRUE(socket) << socket.error().message;
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    EXPECT_EQ((*socket)->address(), "unix:" + path);
    EXPECT_FALSE((*socket)->accept());
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST(ListenSocket, TurnsClientsAwayWithoutDescriptors) {
  TestDirectory dir;
  auto socket = ListenSocket::open_unix("qmp", dir.path("s"));
  ASSERT_TRUE(socket);
  Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, dir.path("s").c_str());
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  Fd next(::dup(0));
  const rlimit none{static_cast<rlim_t>(next.get()), before.rlim_max};
  next.close();
  // Without the warning: making its text, a sanitizer needs descriptors of its own
  ::setenv("NACRE_LOG_LEVEL", "error", 1);
  log::set_level_from_environment();
  ::setrlimit(RLIMIT_NOFILE, &none);
  EXPECT_FALSE((*socket)->accept());
  ::setrlimit(RLIMIT_NOFILE, &before);
  ::unsetenv("NACRE_LOG_LEVEL");
  log::set_level_from_environment();
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, MSG_DONTWAIT), 0);  // not waiting, but disconnected
  EXPECT_FALSE((*socket)->accept());
}

TEST(ListenSocket, ALiveOneIsRefused) {
  TestDirectory dir;
  auto first = ListenSocket::open_unix("qmp", dir.path("s"));
  ASSERT_TRUE(first);
  auto second = ListenSocket::open_unix("chardev 'c'", dir.path("s"));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("chardev 'c': another process already listens"));
  EXPECT_EQ(::access(dir.path("s").c_str(), F_OK), 0);
}

TEST(ListenSocket, TheFileOfADeadProcessIsReplaced) {
  TestDirectory dir;
  pid_t child = ::fork();
  if (child == 0) {
    auto socket = ListenSocket::open_unix("qmp", dir.path("s"));
    ::_exit(socket ? 0 : 1);  // without destructors, as by a signal
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_EQ(::access(dir.path("s").c_str(), F_OK), 0);
  EXPECT_TRUE(ListenSocket::open_unix("qmp", dir.path("s")));
}

TEST(ListenSocket, OtherFilesAreLeftAlone) {
  TestDirectory dir;
  std::string file = dir.file("f", 10);
  auto socket = ListenSocket::open_unix("qmp", file);
  ASSERT_FALSE(socket);
  EXPECT_THAT(socket.error().message, HasSubstr("is no socket"));
  EXPECT_EQ(content_of(file).size(), 10u);
  EXPECT_THAT(ListenSocket::open_unix("qmp", dir.path("none") + "/s").error().message, HasSubstr("No such file"));
  EXPECT_THAT(ListenSocket::open_unix("qmp", std::string(200, 'x')).error().message, HasSubstr("200 bytes"));
}

TEST(ListenSocket, AFileThatIsNoLongerOursStays) {
  TestDirectory dir;
  auto first = ListenSocket::open_unix("qmp", dir.path("s"));
  ASSERT_TRUE(first);
  // Kept under another name, so that its inode number is not given out again.
  ASSERT_EQ(::rename(dir.path("s").c_str(), dir.path("old").c_str()), 0);
  auto second = ListenSocket::open_unix("qmp", dir.path("s"));
  ASSERT_TRUE(second);
  *first = nullptr;
  EXPECT_EQ(::access(dir.path("s").c_str(), F_OK), 0);
}

TEST(ListenSocket, Tcp) {
  auto socket = ListenSocket::open_tcp("qmp", "127.0.0.1", 0);
  ASSERT_TRUE(socket) << socket.error().message;
  const std::string& address = (*socket)->address();
  ASSERT_THAT(address, HasSubstr("tcp:127.0.0.1:"));
  auto port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  EXPECT_NE(port, 0);
  EXPECT_THAT(ListenSocket::open_tcp("qmp", "127.0.0.1", port).error().message, HasSubstr("already listens on port"));
  EXPECT_FALSE(ListenSocket::open_tcp("qmp", "256.1.1.1.1", 1));
}

}  // namespace
}  // namespace nacre
