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
  // The number of the descriptor of that name, which stays here; -1 when there is none.
  int find(const std::string& name) const {
    auto found = fds_.find(name);
    return found == fds_.end() ? -1 : found->second.get();
  }
  // Somebody has taken the descriptor `fd` over.
  void forget(int fd) {
    for (auto entry = fds_.begin(); entry != fds_.end(); ++entry) {
      if (entry->second.get() != fd) continue;
      (void)entry->second.release();
      fds_.erase(entry);
      return;
    }
  }

 private:
  std::map<std::string, Fd> fds_;
};

}  // namespace nacre
