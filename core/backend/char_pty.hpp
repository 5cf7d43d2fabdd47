// A pseudo-terminal as a character back end.
#pragma once

#include "core/backend/chardev.hpp"

namespace nacre {

// Makes a terminal in raw mode; filename() is "pty:/dev/pts/<n>" from the start. Whoever opens that path is the other
// end. Fails with one sentence.
Result<std::unique_ptr<Chardev>> open_char_pty(const std::string& id);

}  // namespace nacre
