// Answers to `help` on the command line that only the plugins know.
#pragma once

#include "core/cli/options.hpp"

namespace nacre::cli {

// Prints what was asked for to standard output and returns the exit status of the program.
int tell(const Options& options);

}  // namespace nacre::cli
