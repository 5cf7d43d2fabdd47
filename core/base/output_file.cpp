#include "core/base/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace nacre {
namespace {

// Where root alone makes links.
bool is_of_the_system(std::string_view path) {
  return path.starts_with("/dev/") || path.starts_with("/proc/");
}

}  // namespace

Result<Fd> open_output_file(const std::string& path, int flags, mode_t mode, Links links, int& error) {
  flags |= O_WRONLY | O_CLOEXEC;
  Fd fd(::open(path.c_str(), flags | O_CREAT | O_NOFOLLOW, mode));
  error = fd ? 0 : errno;
  const bool link = error == ELOOP;
  if (link && links == Links::Refuse) return fail("'{}' is a symbolic link; name the file itself", path);
  if (link) {
    fd = Fd(::open(path.c_str(), flags));
    error = fd ? 0 : errno;
  }
  struct stat status {};
  if (fd && ::fstat(fd.get(), &status) != 0) error = errno;
  if (error) return fail("'{}': {}", path, strerror(error));
  error = EPERM;
  if (link && !is_of_the_system(path) && !S_ISCHR(status.st_mode) && !S_ISFIFO(status.st_mode))
    return fail("'{}' is a symbolic link; name the file itself", path);
  if (S_ISREG(status.st_mode) && status.st_nlink > 1)
    return fail("'{}' has other names too (hard links), and their file would change; name a file of its own", path);
  if (S_ISREG(status.st_mode) && ::geteuid() != 0 && status.st_uid != 0 && status.st_uid != ::geteuid())
    return fail("'{}' belongs to another user; name a file of your own", path);
  error = 0;
  return fd;
}

}  // namespace nacre
