#include "core/cli/daemon.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "core/base/fd.hpp"

namespace nacre::cli {
namespace {

// The first process: waits for the daemon's word and exits with it.
[[noreturn]] void wait_for_word(int pipe) {
  char text[4096];
  size_t length = 0;
  for (ssize_t n; length < sizeof text && (n = ::read(pipe, text + length, sizeof text - length)) > 0;)
    length += static_cast<size_t>(n);
  bool started = length == 1 && text[0] == '\n';
  if (!started) std::fprintf(stderr, "nacre: %.*s\n", static_cast<int>(length), length ? text : "the daemon died.");
  ::_exit(started ? 0 : 1);
}

}  // namespace

Result<Daemon> Daemon::start() {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return fail("-daemonize: no pipe: {}.", strerror(errno));
  pid_t child = ::fork();
  if (child < 0) return fail("-daemonize: fork failed: {}.", strerror(errno));
  if (child > 0) {
    ::close(pipe[1]);
    ::waitpid(child, nullptr, 0);
    wait_for_word(pipe[0]);
  }
  ::close(pipe[0]);
  ::setsid();
  pid_t grandchild = ::fork();
  if (grandchild != 0) ::_exit(grandchild < 0 ? 1 : 0);
  Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail("-daemonize: cannot open /dev/null: {}.", strerror(errno));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
  ::dup2(null.get(), STDERR_FILENO);
  return Daemon(pipe[1]);
}

void Daemon::report(const Status& started) {
  std::string word = started ? "\n" : started.error().message;
  [[maybe_unused]] ssize_t written = ::write(pipe_, word.data(), word.size());
  ::close(pipe_);
}

Result<MadeFile> make_pid_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd && errno == EEXIST)
    return fail("Pidfile path is existed yet: '{}'. Remove it if no VMM of that name runs.", path);
  if (!fd) return fail("-pidfile: cannot make '{}': {}.", path, strerror(errno));
  MadeFile file(path);
  std::string text = std::to_string(::getpid()) + "\n";
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail("-pidfile: cannot write '{}': {}.", path, strerror(errno));
  return file;
}

}  // namespace nacre::cli
