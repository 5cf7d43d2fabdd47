#include "core/backend/block_lock.hpp"

#include <fcntl.h>

#include <cerrno>

namespace nacre {

namespace {

constexpr off_t kUsed = 100;
constexpr off_t kUnshared = 200;
constexpr off_t kRead = 0;
constexpr off_t kWrite = 1;
constexpr off_t kResize = 3;

struct flock byte_lock(short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

bool lock_byte(int fd, off_t byte) {
  struct flock lock = byte_lock(F_RDLCK, byte);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

// Whether somebody else has locked this byte, in whichever way.
bool locked_by_other(int fd, off_t byte) {
  struct flock lock = byte_lock(F_WRLCK, byte);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void unlock_all(int fd) {
  struct flock lock = byte_lock(F_UNLCK, 0);
  lock.l_len = 0;
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace

ImageLock lock_image(int fd, bool readonly) {
  constexpr off_t permissions[] = {kRead, kWrite, kResize};
  auto used = [&](off_t permission) { return permission == kRead || !readonly; };
  auto unshared = [](off_t permission) { return permission != kRead; };
  // First all of ours, then a look at the others': of two that start at once, at least one sees the other.
  for (off_t permission : permissions) {
    for (off_t byte : {used(permission) ? kUsed + permission : 0, unshared(permission) ? kUnshared + permission : 0}) {
      if (byte == 0 || lock_byte(fd, byte)) continue;
      bool busy = errno == EAGAIN || errno == EACCES;
      unlock_all(fd);
      return busy ? ImageLock::Busy : ImageLock::Unsupported;
    }
  }
  for (off_t permission : permissions) {
    if ((used(permission) && locked_by_other(fd, kUnshared + permission)) ||
        (unshared(permission) && locked_by_other(fd, kUsed + permission))) {
      unlock_all(fd);
      return ImageLock::Busy;
    }
  }
  return ImageLock::Taken;
}

}  // namespace nacre
