#include "core/base/log.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/base/output_file.hpp"

namespace nacre::log {

namespace detail {
std::atomic<int> threshold{static_cast<int>(Level::Warn)};
}

namespace {
std::atomic<int> sink{STDERR_FILENO};

constexpr std::array<std::string_view, 6> kLevelNames{"", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
}  // namespace

Status open(const std::string& path) {
  int error = 0;
  Result<Fd> file = open_output_file(path, O_APPEND, 0640, Links::Refuse, error);
  if (!file) return fail("cannot open the log file {}.", file.error().message);
  sink.store(file->release());
  return {};
}

int descriptor() {
  return sink.load(std::memory_order_relaxed);
}

void set_level_from_environment() {
  const char* value = ::secure_getenv("NACRE_LOG_LEVEL");
  if (!value) value = ::secure_getenv("STRATOVIRT_LOG_LEVEL");
  if (!value) return;
  for (size_t i = 1; i < kLevelNames.size(); ++i)
    if (strcasecmp(value, kLevelNames[i].data()) == 0) detail::threshold.store(static_cast<int>(i));
}

void write(Level level, std::string_view domain, std::string_view text) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  ::localtime_r(&now.tv_sec, &local);
  fmt::memory_buffer line;
  fmt::format_to(std::back_inserter(line), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}: [{}][{}][{}]:{}: {}\n",
                 local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec,
                 now.tv_nsec, ::getpid(), ::syscall(SYS_gettid), domain, kLevelNames[static_cast<size_t>(level)], text);
  // One write keeps lines of several threads whole; a log that cannot be written has nowhere to say so.
  [[maybe_unused]] ssize_t written = ::write(descriptor(), line.data(), line.size());
}

}  // namespace nacre::log
