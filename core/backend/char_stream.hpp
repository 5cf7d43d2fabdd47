// Bytes to and from one descriptor without blocking, as the kinds of back end share it.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace nacre {

// Reads what is there: bytes, 0 for none now, -1 at the end of the input or when the other end is gone.
ssize_t read_available(int fd, char* data, size_t length);
// Writes what is taken: bytes, 0 for not now, -1 when the other end is gone. Raises no SIGPIPE on sockets; for pipes
// the process ignores that signal.
ssize_t write_available(int fd, const char* data, size_t length);

}  // namespace nacre
