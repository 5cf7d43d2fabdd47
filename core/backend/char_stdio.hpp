// Standard input and output as a character back end.
#pragma once

#include "core/backend/chardev.hpp"

namespace nacre {

// Whatever they are: a terminal (in raw mode while a front end is attached), pipes, files, /dev/null or nothing at all.
// One per process; a second is refused with a sentence.
Result<std::unique_ptr<Chardev>> open_char_stdio(const std::string& id);

// Gives the terminal back as it was found. Safe in a signal handler, harmless when there is nothing to restore; runs by
// itself at exit().
void restore_terminal();

}  // namespace nacre
