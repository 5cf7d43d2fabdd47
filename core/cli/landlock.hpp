// -landlock: which files the VMM can still open once its guest runs (Linux, Documentation/userspace-api/landlock.rst).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/cli/options.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre::cli {

// Main thread only.
class Landlock {
 public:
  // Looks up what stays open to it, as things are before -chroot: `paths` as the user said, and, to be read, `plugins`
  // and the directories of libraries, where they are. Nothing is asked of the kernel when `paths` is empty. From here
  // on no program that the process starts gains privileges by its file. Fails in the user's words, also where the
  // kernel has no Landlock.
  static Result<Landlock> prepare(std::span<const OpenPath> paths, std::span<const std::string> plugins);

  // For good, for the calling thread, those of `others`, and all that these start: every other file is closed to them, no
  // program can be executed, no file system mounted. What is open already stays open.
  Status restrict(std::span<EventLoop* const> others) const;

 private:
  struct Rule {
    Fd path;
    bool directory;
    bool writable;
  };

  Landlock() = default;
  Status add(const std::string& path, bool writable);
  Status restrict_this_thread() const;

  int abi_ = 0;
  std::vector<Rule> rules_;
};

}  // namespace nacre::cli
