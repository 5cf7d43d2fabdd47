// `nacre plugin VERB ...`: plugins by themselves, without a virtual machine.
#pragma once

#include <span>
#include <string>

#include "core/base/result.hpp"

namespace nacre::cli {

// Runs the words after `nacre plugin`; what was asked for goes to standard output, complaints to standard error.
// Returns the exit status: 0, or 1 where it cannot be done or the plugin would not load. Main thread, before any other
// is made.
int plugin_command(std::span<const char* const> words);

// Prints what the file says about itself, and whether this program would load it by that; runs nothing of it. Returns
// the exit status.
int inspect_plugin(const std::string& path);

// Prints every check that a plugin goes through on its way into a VMM, the last of them in a child process that loads
// it, with what would help against each failure. Returns the exit status.
int examine_plugin(const std::string& path);

// What `nacre plugin new` was asked for.
struct ProjectRequest {
  std::string id;
  std::string kind;
  std::string directory;  // empty: the last part of the id, here
};

// Writes a new project from its kind's template. Returns the text for the user, several lines; fails with a sentence
// where the id, the kind or the directory will not do.
Result<std::string> write_project(const ProjectRequest& request);

// "virtio-device, pci-device": what write_project() takes.
std::string project_kinds();

}  // namespace nacre::cli
