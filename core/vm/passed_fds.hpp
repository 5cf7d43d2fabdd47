// Descriptors that a client has passed over its socket under a name (QMP getfd), for commands that follow.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Main thread only.
class PassedFds {
 public:
  // A second one of the same name closes the first.
  void add(const std::string& name, Fd fd) { fds_[name] = std::move(fd); }
  // The number of the descriptor of that name, which stays here; -1 when there is none.
  int find(const std::string& name) const;
  // "tap0:7" with the descriptor 12 passed as "tap0" is "12:7". Fails for a word that is neither a passed name nor a
  // number, in a sentence that ends with the nearest name; `key` is what it names first.
  Result<std::string> in_numbers(std::string_view key, std::string_view words) const;
  // Somebody has taken the descriptor `fd` over.
  void forget(int fd);
  // Closes the descriptor of that name, if there is one.
  void remove(const std::string& name) { fds_.erase(name); }

 private:
  Error unknown(std::string_view key, const std::string& word) const;

  std::map<std::string, Fd> fds_;
};

}  // namespace nacre
