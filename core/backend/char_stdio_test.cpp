#include "core/backend/char_stdio.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "core/backend/test_chardev.hpp"
#include "core/backend/test_files.hpp"

namespace nacre {
namespace {

using ::testing::HasSubstr;

// Runs `body` in a child with these as standard input and output (-1: closed) and returns its exit status.
int in_child(int in, int out, const std::function<int()>& body) {
  pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGPIPE, SIG_IGN);
    ::alarm(20);
    in >= 0 ? ::dup2(in, 0) : ::close(0);
    out >= 0 ? ::dup2(out, 1) : ::close(1);
    ::_exit(body());
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

std::unique_ptr<TestFrontEnd> front_end() {
  auto made = open_char_stdio("serial0");
  return made ? std::make_unique<TestFrontEnd>(std::move(*made)) : nullptr;
}

TEST(CharStdio, OnePerProcess) {
  EXPECT_EQ(in_child(-1, -1,
                     [] {
                       auto first = open_char_stdio("a");
                       auto second = open_char_stdio("b");
                       if (second || second.error().message.find("already used") == std::string::npos) return 1;
                       *first = nullptr;
                       return open_char_stdio("b") ? 0 : 2;
                     }),
            0);
}

TEST(CharStdio, PipesAndTheEndOfInput) {
  int in[2];
  int out[2];
  ASSERT_EQ(::pipe(in), 0);
  ASSERT_EQ(::pipe(out), 0);
  ASSERT_EQ(::write(in[1], "some input", 10), 10);
  ::close(in[1]);
  EXPECT_EQ(in_child(in[0], out[1],
                     [] {
                       auto front = front_end();
                       if (!front->until([&] { return front->input == "some input"; })) return 1;
                       uint64_t before = cpu_ns();
                       front->turn(200'000'000);
                       if (cpu_ns() - before > 50'000'000) return 2;  // the end of input keeps the loop busy
                       std::thread([&] { front->write("some "); }).join();
                       front->turn(1'000'000);
                       front->write("output");
                       // The shell's end of the pipe is as it was.
                       return ::fcntl(1, F_GETFL) & O_NONBLOCK ? 3 : 0;
                     }),
            0);
  char data[100];
  EXPECT_EQ(::read(out[0], data, sizeof data), 11);
  EXPECT_EQ(std::string(data, 11), "some output");
  for (int fd : {in[0], out[0], out[1]}) ::close(fd);
}

TEST(CharStdio, AReaderThatIsGoneIsNoTrouble) {
  int out[2];
  ASSERT_EQ(::pipe(out), 0);
  ::close(out[0]);
  EXPECT_EQ(in_child(-1, out[1],
                     [] {
                       auto front = front_end();
                       uint64_t before = cpu_ns();
                       for (int i = 0; i < 100; ++i)
                         if (front->write(std::string(4096, 'x')) != 4096) return 1;
                       front->turn(100'000'000);
                       return cpu_ns() - before > 60'000'000 ? 2 : 0;
                     }),
            0);
  ::close(out[1]);
}

TEST(CharStdio, FilesNothingAndTheNullDevice) {
  TestDirectory dir;
  std::string file = dir.file("in", 100'000);
  Fd in(::open(file.c_str(), O_RDONLY));
  Fd out(::open(dir.path("out").c_str(), O_WRONLY | O_CREAT, 0600));
  EXPECT_EQ(in_child(in.get(), out.get(),
                     [] {
                       auto front = front_end();
                       front->write("to a file");
                       return front->until([&] { return front->input.size() == 100'000; }) ? 0 : 1;
                     }),
            0);
  EXPECT_EQ(content_of(dir.path("out")), "to a file");
  Fd null(::open("/dev/null", O_RDWR));
  EXPECT_EQ(in_child(null.get(), null.get(),
                     [] {
                       auto front = front_end();
                       front->turn(20'000'000);
                       return front->attach_error.empty() && front->write("x") == 1 ? 0 : 1;
                     }),
            0);
  EXPECT_EQ(in_child(-1, -1,
                     [] {
                       auto front = front_end();
                       front->turn(20'000'000);
                       return front->attach_error.empty() && front->write("x") == 1 ? 0 : 1;
                     }),
            0);
}

// The mode that the terminal has at the moment.
tcflag_t local_mode(int master) {
  termios mode{};
  ::tcgetattr(master, &mode);
  return mode.c_lflag;
}

TEST(CharStdio, ATerminalIsRawMeanwhileAndRestoredHoweverItEnds) {
  for (int way = 0; way < 3; ++way) {
    Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
    ASSERT_EQ(::grantpt(master.get()), 0);
    ASSERT_EQ(::unlockpt(master.get()), 0);
    std::string path = ::ptsname(master.get());
    Fd slave(::open(path.c_str(), O_RDWR | O_NOCTTY));
    const tcflag_t before = local_mode(slave.get());
    ASSERT_TRUE(before & ICANON);
    int status = in_child(slave.get(), slave.get(), [&] {
      ::setsid();
      ::ioctl(0, TIOCSCTTY, 0);  // the foreground process of its own terminal
      auto front = front_end();
      if (local_mode(0) & (ICANON | ECHO | ISIG)) return 1;
      std::thread([&] { front->write("prompt> "); }).join();
      std::string shown;
      if (!front->until([&] {
            char data[100];
            ssize_t n = ::read(master.get(), data, sizeof data);
            if (n > 0) shown.append(data, static_cast<size_t>(n));
            return shown == "prompt> ";
          }))
        return 2;
      if (::write(master.get(), "\x03", 1) != 1) return 3;
      if (!front->until([&] { return front->input == "\x03"; })) return 4;
      if (way == 0) return front.reset(), 0;
      if (way == 1) std::_Exit((restore_terminal(), 0));
      ::signal(SIGALRM, [](int) {
        restore_terminal();
        ::_exit(0);
      });
      ::raise(SIGALRM);
      return 5;
    });
    EXPECT_EQ(status, 0) << "way " << way << ", exit status " << WEXITSTATUS(status);
    EXPECT_EQ(local_mode(slave.get()), before) << "way " << way;
  }
}

TEST(CharStdio, ABackgroundProcessLeavesTheTerminalAlone) {
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  Fd slave(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY));
  const tcflag_t before = local_mode(slave.get());
  EXPECT_EQ(in_child(slave.get(), slave.get(),
                     [&] {
                       // Not its controlling terminal at all, as for one started by another session.
                       auto front = front_end();
                       return local_mode(0) == before ? 0 : 1;
                     }),
            0);
}

}  // namespace
}  // namespace nacre
