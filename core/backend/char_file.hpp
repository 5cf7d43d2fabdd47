// Output only: to a file, to the log, or nowhere.
#pragma once

#include "core/backend/chardev.hpp"

namespace nacre {

// Makes the file (mode 0600) or empties it. Fails with one sentence that names the back end and the path.
Result<std::unique_ptr<Chardev>> open_char_file(const std::string& id, const std::string& path);
// Takes everything and forgets it.
std::unique_ptr<Chardev> open_char_null(const std::string& id);
// Each line becomes an entry of the log, level info, domain `id`.
std::unique_ptr<Chardev> open_char_log(const std::string& id);

}  // namespace nacre
