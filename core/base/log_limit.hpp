// Warnings that a guest can bring about as often as it likes: it must not fill the log of the host by them.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/log.hpp"

namespace nacre::log {

// One a second of all warnings that share it, the first of each second; the others are dropped. Any thread.
class Limit {
 public:
  template <typename... Args>
  void warn(std::string_view domain, fmt::format_string<Args...> format, Args&&... args) {
    if (passes()) log::warn(domain, format, std::forward<Args>(args)...);
  }

 private:
  bool passes();

  std::atomic<int64_t> last_{-1};  // second in which one has passed
};

}  // namespace nacre::log
