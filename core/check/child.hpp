// Runs a test in a process of its own, so that a plugin that crashes or hangs fails that test alone.
#pragma once

#include <string>

#include "test.hpp"

namespace nacre::check {

struct Outcome {
  enum class Kind { Passed, Failed, Cannot } kind;
  std::string sentence;  // why; empty when it passed
  unsigned milliseconds = 0;
};

// Runs it in this process: for a debugger.
Outcome run_here(const Test& test, Subject& subject, const Options& options);

// Runs it in a child, which is ended after `deadline_seconds`.
Outcome run_in_child(const Test& test, Subject& subject, const Options& options, unsigned deadline_seconds);

}  // namespace nacre::check
