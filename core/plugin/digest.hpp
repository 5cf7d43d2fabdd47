// SHA-256 of plugin files, for the list of those that are allowed.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/result.hpp"

namespace nacre {

// Whether digests can be made here: OpenSSL's libcrypto is loaded by the first call and by nothing else, so that only
// who asks for digests pays for it. Main thread only.
Status prepare_digests();

// Returns the SHA-256 of the `size` bytes behind `fd`, in 64 lower-case hexadecimal digits. `path` is for the words
// only. Fails where the file cannot be read. Main thread only.
Result<std::string> sha256_of(int fd, uint64_t size, const std::string& path);

}  // namespace nacre
