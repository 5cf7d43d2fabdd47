// A plugin's code in this process.
#pragma once

#include <nacre/abi/entry.h>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/plugin/manifest.hpp"

namespace nacre {

// The addresses at which an image lies in this process.
struct ImageRange {
  uintptr_t start = 0;
  uintptr_t end = 0;
  bool holds(uintptr_t address) const { return address >= start && address < end; }
};

// Returns those of the executable or shared object that has something at `address`; empty where none has. Any thread.
ImageRange image_range(const void* address);

// Maps the file behind `fd`, which the caller has checked, and returns what its entry point shows. The code stays
// mapped until the process ends, and the descriptor open: the loader knows the image by the descriptor's number. Fails
// with a sentence when a library or symbol is missing, there is no entry point, or the entry contradicts the note. Main
// thread only.
Result<const nacre_plugin*> map_plugin(Fd fd, uint64_t size, const std::string& path, const Manifest& manifest,
                                       const nacre_host_hello* host);

// Calls its init(). Fails with the plugin's own words. Main thread only.
Status initialise_plugin(const nacre_plugin& plugin);

}  // namespace nacre
