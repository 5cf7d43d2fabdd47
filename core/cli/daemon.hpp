// Going into the background, and the file that says who is there.
#pragma once

#include <string>

#include "core/base/made_file.hpp"
#include "core/base/result.hpp"

namespace nacre::cli {

// Forks twice, leaves the terminal's session, and gives the three standard streams to /dev/null. The first process
// waits until the daemon says how its start went and exits with that; call it before any thread and KVM exist.
class Daemon {
 public:
  // In the daemon: returns an object to report with. Never returns in the first process.
  static Result<Daemon> start();
  // Lets the first process exit with status 0, or print the sentence and exit with 1. Once.
  void report(const Status& started);

 private:
  explicit Daemon(int pipe) : pipe_(pipe) {}
  int pipe_;
};

// Makes a pid file with mode 0600; fails where anything is, a link included. The file goes with what is returned.
Result<MadeFile> make_pid_file(const std::string& path);

}  // namespace nacre::cli
