// Going into the background, and the file that says who is there.
#pragma once

#include <string>

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

// A pid file, made with mode 0600 where none was, removed at the end.
class PidFile {
 public:
  static Result<PidFile> create(const std::string& path);
  PidFile(PidFile&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();

 private:
  explicit PidFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace nacre::cli
