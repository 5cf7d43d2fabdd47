#include "core/backend/char_stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace nacre {

ssize_t read_available(int fd, char* data, size_t length) {
  for (;;) {
    ssize_t bytes = ::read(fd, data, length);
    if (bytes > 0) return bytes;
    if (bytes == 0) return -1;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -1;
  }
}

ssize_t write_available(int fd, const char* data, size_t length) {
  for (;;) {
    ssize_t bytes = ::send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (bytes < 0 && errno == ENOTSOCK) bytes = ::write(fd, data, length);
    if (bytes >= 0) return bytes;
    if (errno == EINTR) continue;
    return errno == EAGAIN ? 0 : -1;
  }
}

}  // namespace nacre
