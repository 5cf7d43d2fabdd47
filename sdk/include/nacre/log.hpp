// The host's log, for a plugin.
#pragma once

#include <nacre/host.hpp>
#include <string>
#include <string_view>

namespace nacre::sdk {

// Writes one line made of all the pieces in a row, where such lines are wanted. Any thread. `instance` may be NULL.
template <typename... Pieces>
void log(nacre_instance* instance, uint32_t level, const Pieces&... pieces) {
  if (!host.log || !host.log->enabled(level)) return;
  std::string text;
  (text.append(std::string_view(pieces)), ...);
  host.log->write(instance, level, text.c_str());
}

}  // namespace nacre::sdk
