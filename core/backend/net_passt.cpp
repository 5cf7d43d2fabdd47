#include "core/backend/net_passt.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "core/backend/net_stream.hpp"
#include "core/base/log.hpp"

extern char** environ;

namespace nacre {
namespace {

constexpr int kSocketInChild = 3;
constexpr int kEndTries = 100;  // of 5 ms each

// The helper process. Its socket must be closed before this is destroyed: then it ends by itself.
class Passt {
 public:
  Passt(pid_t pid, Fd words) : pid_(pid), words_(std::move(words)) {}
  Passt(const Passt&) = delete;
  Passt& operator=(const Passt&) = delete;
  ~Passt() {
    for (int i = 0; pid_ > 0 && i < kEndTries; ++i) {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) return;
      const timespec pause{0, 5'000'000};
      ::nanosleep(&pause, nullptr);
    }
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // What it said last, one line; empty when it said nothing.
  std::string last_words() const {
    char text[4096];
    std::string all;
    for (ssize_t n; (n = ::read(words_.get(), text, sizeof text)) > 0;) all.append(text, static_cast<size_t>(n));
    while (!all.empty() && all.back() == '\n') all.pop_back();
    const size_t line = all.rfind('\n');
    return line == std::string::npos ? all : all.substr(line + 1);
  }

 private:
  pid_t pid_;
  Fd words_;
};

class NetPasst : public NetBackend {
 public:
  NetPasst(const NetOptions& options, std::unique_ptr<Passt> passt, Fd socket)
      : NetBackend(options), passt_(std::move(passt)), stream_(std::make_unique<NetStream>(std::move(socket))) {}
  ~NetPasst() override { stream_.reset(); }

  void describe(nacre_net_info& info) const override {
    info.n_queues = 1;
    info.max_frame = kMaxFrame;
    // It ends the guest's connections itself: it looks at no checksum of theirs and takes segments of any length.
    info.takes = NACRE_NET_CSUM | NACRE_NET_TSO4 | NACRE_NET_TSO6;
    info.gives = 0;
    info.vhost = 0;
  }
  int fd(uint32_t) const override { return stream_->fd(); }
  int vhost_fd(uint32_t) const override { return -1; }
  int64_t receive(uint32_t, const iovec* iov, uint32_t n_iov) override {
    const int64_t n = stream_->receive(iov, n_iov);
    if (n == NACRE_IO && !told_) {
      told_ = true;
      const std::string words = passt_->last_words();
      log::warn("net", "netdev '{}': passt has ended{}{}; the guest is without this network.", options().id,
                words.empty() ? "" : " and said: ", words);
    }
    return n;
  }
  int32_t send(uint32_t, const iovec* iov, uint32_t n_iov) override { return stream_->send(iov, n_iov); }
  nacre_status set_offloads(uint32_t) override { return NACRE_OK; }
  nacre_status set_queues(uint32_t n) override { return n == 1 ? NACRE_OK : NACRE_INVALID; }

 private:
  std::unique_ptr<Passt> passt_;
  std::unique_ptr<NetStream> stream_;
  bool told_ = false;
};

// What a child gets: an own socket, no input, no signal blocked, and no part in what the terminal sends us.
class SpawnSetting {
 public:
  SpawnSetting(int socket, int words) {
    ::posix_spawn_file_actions_init(&actions);
    // Where a descriptor stays where it is, dup2() takes its close-on-exec flag away all the same.
    ::posix_spawn_file_actions_adddup2(&actions, words, STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, socket, kSocketInChild);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSetting() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSetting(const SpawnSetting&) = delete;
  SpawnSetting& operator=(const SpawnSetting&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

Result<std::unique_ptr<NetBackend>> open_net_passt(const NetOptions& options) {
  int pair[2], pipe[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return fail("netdev '{}': no socket for passt: {}.", options.id, std::strerror(errno));
  Fd ours(pair[0]), theirs(pair[1]);
  if (::pipe2(pipe, O_CLOEXEC) < 0)
    return fail("netdev '{}': no pipe for passt: {}.", options.id, std::strerror(errno));
  Fd words(pipe[0]), told(pipe[1]);
  ::fcntl(words.get(), F_SETFL, O_NONBLOCK);

  char program[] = "passt", foreground[] = "--foreground", quiet[] = "--quiet", fd[] = "--fd", number[] = "3";
  char* argv[] = {program, foreground, quiet, fd, number, nullptr};
  static_assert(kSocketInChild == 3);
  SpawnSetting setting(theirs.get(), told.get());
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, program, &setting.actions, &setting.attributes, argv, environ);
  if (error == ENOENT)
    return fail(
        "netdev '{}': a user network needs the program 'passt', which is not installed; install the package "
        "passt, or use tap.",
        options.id);
  if (error) return fail("netdev '{}': passt cannot be started: {}.", options.id, std::strerror(error));
  auto passt = std::make_unique<Passt>(pid, std::move(words));
  return std::unique_ptr<NetBackend>(new NetPasst(options, std::move(passt), std::move(ours)));
}

}  // namespace nacre
