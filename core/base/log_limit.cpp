#include "core/base/log_limit.hpp"

#include <ctime>

namespace nacre::log {

bool Limit::passes() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return last_.exchange(now.tv_sec) != now.tv_sec;
}

}  // namespace nacre::log
