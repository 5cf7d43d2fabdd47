// A file that is written at a path where others may have put something of theirs.
#pragma once

#include <sys/types.h>

#include <string>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

enum class Links {
  Refuse,
  ToDevices,  // followed to what is no regular file; those of the system, as /dev/stdout is one, to any
};

// Opens it for writing, made where it is not there, with these further flags of open(2). What is in it stays. Fails
// with a sentence that begins with the path in quotes, and `error` is the reason's errno, for a symbolic link, and for
// a regular file with other names (hard links) or of another user than root and us: what is written to it would change
// a file that somebody else has chosen. Root may write to files of other users, which -runas needs.
Result<Fd> open_output_file(const std::string& path, int flags, mode_t mode, Links links, int& error);

}  // namespace nacre
