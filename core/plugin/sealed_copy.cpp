#include "core/plugin/sealed_copy.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include <cerrno>
#include <cstring>

namespace nacre {
namespace {

#ifndef MFD_EXEC
constexpr unsigned MFD_EXEC = 0x10;  // Linux 6.3
#endif

int make_file(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // Newer kernels may make memory files without it unfit for code; older ones do not know it.
  const int fd = ::memfd_create(name.c_str(), kFlags | MFD_EXEC);
  return fd < 0 && errno == EINVAL ? ::memfd_create(name.c_str(), kFlags) : fd;
}

}  // namespace

Result<Fd> sealed_copy(int fd, uint64_t size, const std::string& path) {
  Fd copy(make_file(path));
  if (!copy) return fail("'{}' cannot be copied for -plugin-seal: {}.", path, strerror(errno));
  off_t at = 0;
  while (static_cast<uint64_t>(at) < size) {
    const ssize_t moved = ::sendfile(copy.get(), fd, &at, size - static_cast<uint64_t>(at));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return fail("'{}' cannot be copied for -plugin-seal: {}.", path, strerror(errno));
    if (moved == 0) return fail("'{}' became shorter while it was copied; install plugins by rename.", path);
  }
  if (::fcntl(copy.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return fail("the copy of '{}' cannot be sealed: {}.", path, strerror(errno));
  return copy;
}

}  // namespace nacre
