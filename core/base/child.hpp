// A part of a program that is run in a process of its own, with a deadline: it may crash, hang or end that process.
#pragma once

#include <functional>
#include <string>

#include "core/base/result.hpp"

namespace nacre {

struct ChildEnd {
  std::string said;       // what `body` returned; empty unless it came to its end
  bool finished = false;  // whether it did
  bool in_time = false;   // false: it was killed at the deadline
  int status = 0;         // as waitpid() gives it
};

// Forks, runs `body` in the child and returns how that went; the child ends without destructors or exit handlers, since
// code that `body` has loaded may still have threads. `body` must not throw. Fails when no process can be made. The
// calling process should have one thread only.
Result<ChildEnd> run_in_child(const std::function<std::string()>& body, unsigned deadline_seconds);

}  // namespace nacre
