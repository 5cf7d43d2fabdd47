#include "child.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

namespace nacre::check {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Outcome::Kind;

constexpr char kLetters[] = {'P', 'F', 'C'};

unsigned since(Clock::time_point begin) {
  return static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

// What the child writes before it ends: a letter and the sentence. False at the deadline.
bool read_all(int fd, std::string& text, Clock::time_point deadline) {
  char buffer[4096];
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waited{fd, POLLIN, 0};
    if (left <= 0 || ::poll(&waited, 1, static_cast<int>(left)) == 0) return false;
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) return true;
    text.append(buffer, static_cast<size_t>(n));
  }
}

[[noreturn]] void be_child(int fd, const Test& test, Subject& subject, const Options& options) {
  const Outcome outcome = run_here(test, subject, options);
  const std::string text = kLetters[static_cast<int>(outcome.kind)] + outcome.sentence;
  (void)!::write(fd, text.data(), text.size());
  // Destructors of the plugin's code would run on exit(), while its threads still do.
  ::_exit(0);
}

}  // namespace

Outcome run_here(const Test& test, Subject& subject, const Options& options) {
  const auto begin = Clock::now();
  try {
    test.run(subject, options, test.argument);
    return {Kind::Passed, {}, since(begin)};
  } catch (const Failed& failed) {
    return {Kind::Failed, failed.sentence, since(begin)};
  } catch (const Cannot& cannot) {
    return {Kind::Cannot, cannot.sentence, since(begin)};
  }
}

Outcome run_in_child(const Test& test, Subject& subject, const Options& options, unsigned deadline_seconds) {
  const auto begin = Clock::now();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {Kind::Cannot, fmt::format("no pipe: {}.", std::strerror(errno)), 0};
  const pid_t child = ::fork();
  if (child < 0) return {Kind::Cannot, fmt::format("no process can be made: {}.", std::strerror(errno)), 0};
  if (child == 0) be_child(ends[1], test, subject, options);
  ::close(ends[1]);
  std::string text;
  const bool in_time = read_all(ends[0], text, begin + std::chrono::seconds(deadline_seconds));
  ::close(ends[0]);
  if (!in_time) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  const unsigned took = since(begin);
  if (!in_time) return {Kind::Failed, fmt::format("it did not end within {} s.", deadline_seconds), took};
  if (WIFSIGNALED(status)) return {Kind::Failed, fmt::format("it crashed: {}.", ::strsignal(WTERMSIG(status))), took};
  for (Kind kind : {Kind::Passed, Kind::Failed, Kind::Cannot})
    if (!text.empty() && text[0] == kLetters[static_cast<int>(kind)]) return {kind, text.substr(1), took};
  return {Kind::Failed, fmt::format("it ended the process with status {}.", WEXITSTATUS(status)), took};
}

}  // namespace nacre::check
