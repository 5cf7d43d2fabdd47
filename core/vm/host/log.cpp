#include "core/base/log.hpp"

#include <atomic>
#include <chrono>

#include "core/vm/host/services.hpp"

namespace nacre::services {
namespace {

// A plugin that logs per request must not fill the disk: this many lines a second, all plugins together.
constexpr int kLinesPerSecond = 200;

bool within_rate() {
  static std::atomic<int64_t> second{0};
  static std::atomic<int> lines{0};
  int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  if (second.exchange(now) != now) lines = 0;
  return lines.fetch_add(1) < kLinesPerSecond;
}

void write(nacre_instance* instance, uint32_t level, const char* text) noexcept {
  if (level < NACRE_LOG_ERROR || level > NACRE_LOG_TRACE || !text || !within_rate()) return;
  std::string domain = instance ? instance->plugin_id + "/" + instance->id : "plugin";
  log::write(static_cast<log::Level>(level), domain, text);
}

uint8_t enabled(uint32_t level) noexcept {
  return log::enabled(static_cast<log::Level>(level));
}

}  // namespace

const nacre_log_v1 kLog{sizeof(nacre_log_v1), 0, write, enabled};

}  // namespace nacre::services
