#include "machines/common/boot_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nacre::machine {

using sdk::fail;
using sdk::Result;

BootFile::~BootFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<BootFile> BootFile::open(const std::string& path, const std::string& what) {
  // Without O_NONBLOCK a named pipe would keep the whole machine waiting.
  BootFile file;
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  file.path_ = path;
  file.what_ = what;
  if (file.fd_ < 0) {
    if (errno == ENOENT) return fail("the ", what, " file '", path, "' does not exist; check the path.");
    if (errno == EACCES || errno == EPERM)
      return fail("the ", what, " file '", path, "' may not be read by this user; change its permissions.");
    return fail("the ", what, " file '", path, "' cannot be opened: ", strerror(errno), ".");
  }
  struct stat info {};
  if (::fstat(file.fd_, &info) < 0)
    return fail("the ", what, " file '", path, "' cannot be examined: ", strerror(errno), ".");
  if (S_ISDIR(info.st_mode)) return fail("the ", what, " '", path, "' is a directory; name the file itself.");
  if (!S_ISREG(info.st_mode))
    return fail("the ", what, " '", path, "' is a device, pipe or socket; give a regular file.");
  if (info.st_size == 0) return fail("the ", what, " file '", path, "' is empty.");
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

Result<size_t> BootFile::read(uint64_t offset, std::span<uint8_t> to) const {
  size_t done = 0;
  while (done < to.size()) {
    ssize_t count = ::pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail("the ", what_, " file '", path_, "' cannot be read: ", strerror(errno), ".");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

}  // namespace nacre::machine
