#include "core/base/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "core/base/fd.hpp"

namespace nacre {
namespace {

using Clock = std::chrono::steady_clock;

// Before what the child says: that it came to its end, even where it has nothing to say.
constexpr char kFinished = '!';

[[noreturn]] void be_child(int fd, const std::function<std::string()>& body) {
  const std::string text = kFinished + body();
  std::fflush(nullptr);
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR) break;
    at += n < 0 ? 0 : static_cast<size_t>(n);
  }
  ::_exit(0);
}

// False at the deadline.
bool read_all(int fd, std::string& text, Clock::time_point deadline) {
  char buffer[4096];
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waited{fd, POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&waited, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) return true;
    text.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

Result<ChildEnd> run_in_child(const std::function<std::string()>& body, unsigned deadline_seconds) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(deadline_seconds);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return fail("no pipe: {}.", strerror(errno));
  Fd ours(ends[0]), theirs(ends[1]);
  std::fflush(nullptr);  // or the child writes it too
  const pid_t child = ::fork();
  if (child < 0) return fail("no process can be made: {}.", strerror(errno));
  if (child == 0) {
    ours.close();
    be_child(theirs.get(), body);
  }
  theirs.close();
  ChildEnd end;
  end.in_time = read_all(ours.get(), end.said, deadline);
  if (!end.in_time) ::kill(child, SIGKILL);
  while (::waitpid(child, &end.status, 0) < 0 && errno == EINTR) continue;
  end.finished = end.in_time && !end.said.empty() && end.said[0] == kFinished;
  end.said.erase(0, end.finished ? 1 : std::string::npos);
  return end;
}

}  // namespace nacre
