// Reads a plugin's note out of an ELF file that nobody has checked yet. Nothing of the file is mapped or run.
#pragma once

#include <nacre/abi/note.h>

#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

struct PluginNote {
  nacre_note head{};  // fields that the writer's version did not have are zero
  std::string json;   // at most NACRE_NOTE_JSON_MAX bytes, unchecked
};

// Returns the note of the plugin behind `fd`, a regular file of `size` bytes; `path` is for the words only. Fails with
// a sentence when the file is not a complete shared object for this machine (System V ABI, chapters 4 and 5), or has no
// well-formed note. Reads with pread(2): a few microseconds. Any thread.
Result<PluginNote> read_plugin_note(int fd, uint64_t size, const std::string& path);

// The names of the libraries that the file asks for (DT_NEEDED), in order; empty when it cannot be read.
std::vector<std::string> needed_libraries(int fd, uint64_t size);

}  // namespace nacre
