#include "core/backend/char_stdio.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "core/backend/char_stream.hpp"
#include "core/base/log.hpp"

namespace nacre {

namespace {

// What restore_terminal() puts back. Written before the flag that says so is set.
termios g_terminal;
std::atomic<bool> g_raw{false};
int g_flags[2];
std::atomic<bool> g_nonblocking[2];
std::atomic<bool> g_in_use{false};

void make_raw() {
  termios now{};
  // In the background the terminal is somebody else's, and changing it would stop the process.
  if (::tcgetattr(STDIN_FILENO, &now) != 0 || ::tcgetpgrp(STDIN_FILENO) != ::getpgrp()) return;
  g_terminal = now;
  g_raw = true;
  ::cfmakeraw(&now);
  now.c_oflag |= OPOST;  // lines of the log still begin at the left
  ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
}

// Makes a descriptor non-blocking without changing the open file it shares with the shell and its other children: by
// opening the same thing once more where that is possible (not for sockets), else by a flag that is put back later.
Fd nonblocking(int fd, int mode) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return Fd();
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int shared = ::fcntl(fd, F_GETFL);
  // A file opened anew would be written from its beginning; and it never blocks for long.
  if (!S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode)) {
    int own = ::open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own >= 0) return Fd(own);
    if (shared >= 0 && !(shared & O_NONBLOCK)) {
      g_flags[fd] = shared;
      g_nonblocking[fd] = true;
      ::fcntl(fd, F_SETFL, shared | O_NONBLOCK);
    }
  }
  return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

class CharStdio : public Chardev {
 public:
  using Chardev::Chardev;
  ~CharStdio() override {
    detach();
    g_in_use = false;
  }
  std::string filename() const override { return "stdio"; }

 protected:
  Status start() override {
    make_raw();
    in_ = nonblocking(STDIN_FILENO, O_RDONLY);
    out_ = nonblocking(STDOUT_FILENO, O_WRONLY);
    at_end_ = !in_;
    if (in_) {
      auto watch = loop().watch(in_.get(), EventLoop::kRead | EventLoop::kEdge, [this](uint32_t) { input_ready(); });
      if (watch) {
        in_watch_ = *watch;
      } else {
        // A file, or /dev/null: all its input is there from the beginning.
        start_timer_ = loop().timer([this] { input_ready(); });
        loop().arm(start_timer_, 1);
      }
    }
    if (out_) {
      auto watch = loop().watch(out_.get(), EventLoop::kWrite | EventLoop::kEdge, [this](uint32_t) { flush(); });
      if (watch) out_watch_ = *watch;
    }
    connect();
    return {};
  }
  void stop() override {
    if (in_watch_) loop().unwatch(std::exchange(in_watch_, nullptr));
    if (out_watch_) loop().unwatch(std::exchange(out_watch_, nullptr));
    if (start_timer_) loop().destroy(std::exchange(start_timer_, nullptr));
    restore_terminal();
    in_.close();
    out_.close();
  }
  size_t read_some(char* data, size_t length) override {
    if (at_end_) return 0;
    ssize_t bytes = read_available(in_.get(), data, length);
    if (bytes >= 0) return static_cast<size_t>(bytes);
    // The end of the input is not the end of the output: the machine goes on without a keyboard.
    at_end_ = true;
    if (in_watch_) loop().unwatch(std::exchange(in_watch_, nullptr));
    return 0;
  }
  ssize_t write_some(const char* data, size_t length) override {
    return out_ ? write_available(out_.get(), data, length) : -1;
  }

 private:
  Fd in_;
  Fd out_;
  Watch* in_watch_ = nullptr;
  Watch* out_watch_ = nullptr;
  Timer* start_timer_ = nullptr;
  bool at_end_ = false;
};

}  // namespace

void restore_terminal() {
  int saved = errno;
  if (g_raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &g_terminal);
  for (int fd : {STDIN_FILENO, STDOUT_FILENO})
    if (g_nonblocking[fd].exchange(false)) ::fcntl(fd, F_SETFL, g_flags[fd]);
  errno = saved;
}

Result<std::unique_ptr<Chardev>> open_char_stdio(const std::string& id) {
  if (g_in_use.exchange(true))
    return fail("chardev '{}': standard input and output are already used by another stdio back end; only one can.",
                id);
  static const int registered = std::atexit(restore_terminal);
  if (registered != 0) log::warn("chardev", "the terminal's mode cannot be restored at exit.");
  return std::unique_ptr<Chardev>(new CharStdio(id));
}

}  // namespace nacre
