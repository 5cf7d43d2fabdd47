// A copy of a file in memory that nobody can change any more.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Copies the `size` bytes of the file behind `fd` into memory and seals it against writing and resizing. Returns the
// copy's descriptor, from which code can be mapped. `path` is for the words only. Any thread.
Result<Fd> sealed_copy(int fd, uint64_t size, const std::string& path);

}  // namespace nacre
