#include "child.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <chrono>
#include <cstring>

#include "core/base/child.hpp"

namespace nacre::check {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Outcome::Kind;

// What the child says first.
constexpr char kLetters[] = {'P', 'F', 'C'};

unsigned since(Clock::time_point begin) {
  return static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
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
  Result<ChildEnd> end = nacre::run_in_child(
      [&] {
        const Outcome outcome = run_here(test, subject, options);
        return kLetters[static_cast<int>(outcome.kind)] + outcome.sentence;
      },
      deadline_seconds);
  const unsigned took = since(begin);
  if (!end) return {Kind::Cannot, end.error().message, took};
  if (!end->in_time) return {Kind::Failed, fmt::format("it did not end within {} s.", deadline_seconds), took};
  if (WIFSIGNALED(end->status))
    return {Kind::Failed, fmt::format("it crashed: {}.", ::strsignal(WTERMSIG(end->status))), took};
  if (!end->finished)
    return {Kind::Failed, fmt::format("it ended the process with status {}.", WEXITSTATUS(end->status)), took};
  const auto* letter = static_cast<const char*>(std::memchr(kLetters, end->said[0], sizeof kLetters));
  return {static_cast<Kind>(letter - kLetters), end->said.substr(1), took};
}

}  // namespace nacre::check
