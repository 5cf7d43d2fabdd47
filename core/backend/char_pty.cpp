#include "core/backend/char_pty.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/backend/char_stream.hpp"
#include "core/base/log.hpp"

namespace nacre {

namespace {

class CharPty : public Chardev {
 public:
  CharPty(const std::string& id, Fd master, std::string path)
      : Chardev(id), master_(std::move(master)), path_(std::move(path)) {}
  ~CharPty() override { detach(); }
  std::string filename() const override { return "pty:" + path_; }

 protected:
  Status start() override {
    auto watch = loop().watch(master_.get(), EventLoop::kRead | EventLoop::kWrite | EventLoop::kEdge,
                              [this](uint32_t events) { ready(events); });
    if (!watch) return watch.error();
    watch_ = *watch;
    // The master is not told when somebody opens the other end; the directory entry is. That costs nothing while idle.
    opens_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!opens_ || ::inotify_add_watch(opens_.get(), path_.c_str(), IN_OPEN | IN_CLOSE) < 0)
      return fail("chardev '{}': cannot watch '{}' for being opened: {}.", id(), path_, strerror(errno));
    auto opens = loop().watch(opens_.get(), EventLoop::kRead | EventLoop::kEdge, [this](uint32_t) {
      char events[4096];
      while (::read(opens_.get(), events, sizeof events) > 0) {
      }
      look();
    });
    if (!opens) return opens.error();
    opens_watch_ = *opens;
    look();
    return {};
  }
  void stop() override {
    if (opens_watch_) loop().unwatch(std::exchange(opens_watch_, nullptr));
    if (watch_) loop().unwatch(std::exchange(watch_, nullptr));
    opens_.close();
  }
  size_t read_some(char* data, size_t length) override {
    ssize_t bytes = read_available(master_.get(), data, length);
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
  }
  ssize_t write_some(const char* data, size_t length) override {
    return hung_up() ? -1 : write_available(master_.get(), data, length);
  }

 private:
  bool hung_up() const {
    pollfd state{master_.get(), 0, 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & POLLHUP);
  }
  void ready(uint32_t events) {
    look();
    if (events & EventLoop::kWrite) flush();
    if (events & EventLoop::kRead) input_ready();
  }
  void look() {
    if (hung_up())
      disconnect();
    else
      connect();
  }

  Fd master_;
  std::string path_;
  Fd opens_;
  Watch* watch_ = nullptr;
  Watch* opens_watch_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Chardev>> open_char_pty(const std::string& id) {
  auto failed = [&] { return fail("chardev '{}': cannot make a pseudo-terminal: {}.", id, strerror(errno)); };
  Fd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  char path[128];
  if (!master || ::grantpt(master.get()) < 0 || ::unlockpt(master.get()) < 0) return failed();
  if (int error = ::ptsname_r(master.get(), path, sizeof path)) {
    errno = error;
    return failed();
  }
  // Opened and closed once: it stays raw, and from now on the master knows whether there is another end.
  Fd slave(::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave) return failed();
  termios mode{};
  if (::tcgetattr(slave.get(), &mode) < 0) return failed();
  ::cfmakeraw(&mode);
  ::tcsetattr(slave.get(), TCSANOW, &mode);
  log::info("chardev", "chardev '{}' is at {}", id, path);
  return std::unique_ptr<Chardev>(new CharPty(id, std::move(master), path));
}

}  // namespace nacre
