// Descriptors that a client has passed over its socket under a name (QMP getfd), for commands that follow.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "core/base/fd.hpp"

namespace nacre {

// Main thread only.
class PassedFds {
 public:
  // A second one of the same name closes the first.
  void add(const std::string& name, Fd fd) { fds_[name] = std::move(fd); }
  // Gives the descriptor of that name away; an invalid one when there is none.
  Fd take(const std::string& name) {
    auto found = fds_.find(name);
    if (found == fds_.end()) return {};
    Fd fd = std::move(found->second);
    fds_.erase(found);
    return fd;
  }

 private:
  std::map<std::string, Fd> fds_;
};

}  // namespace nacre
