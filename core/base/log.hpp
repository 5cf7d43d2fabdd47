// The log of the process: one line an entry, to standard error or a file, in the form StratoVirt's consumers parse.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <string>
#include <string_view>

#include "core/base/result.hpp"

namespace nacre::log {

enum class Level : int { Error = 1, Warn = 2, Info = 3, Debug = 4, Trace = 5 };

namespace detail {
extern std::atomic<int> threshold;
}

// Sends the log to `path` (created with mode 0640, appended to) instead of standard error.
Status open(const std::string& path);

// [also in a signal handler] Where the lines go.
int descriptor();

// Reads the level from the environment: NACRE_LOG_LEVEL, or STRATOVIRT_LOG_LEVEL as that program's users set it
// (error, warn, info, debug, trace; anything else leaves the default, warn).
void set_level_from_environment();

inline bool enabled(Level level) {
  return static_cast<int>(level) <= detail::threshold.load(std::memory_order_relaxed);
}

// Writes one line `<local time>: [<pid>][<tid>][<domain>]:<LEVEL>: <text>` with a single write(2). Any thread.
void write(Level level, std::string_view domain, std::string_view text);

template <typename... Args>
void error(std::string_view domain, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Error)) write(Level::Error, domain, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(std::string_view domain, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Warn)) write(Level::Warn, domain, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(std::string_view domain, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Info)) write(Level::Info, domain, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void debug(std::string_view domain, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::Debug)) write(Level::Debug, domain, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace nacre::log
