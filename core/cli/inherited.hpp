// The open descriptors that a process is started with: some were handed to it, others were left open by mistake.
#pragma once

#include <string_view>
#include <vector>

namespace nacre::cli {

// Adds to `descriptors` those that the value of an option speaks of: fd=3, vhostfds=4:5, /dev/fd/6, /proc/self/fd/7.
// May find too many, never too few.
void find_descriptors(std::string_view text, std::vector<int>& descriptors);

// Closes all descriptors from 3 on but `kept`. Main thread, before anything else is opened.
void close_inherited(std::vector<int> kept);

}  // namespace nacre::cli
