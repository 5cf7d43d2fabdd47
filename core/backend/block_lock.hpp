// The locks on a disk image that keep two machines from writing to it, in the manner of QEMU and StratoVirt.
#pragma once

#include "core/base/result.hpp"

namespace nacre {

enum class ImageLock {
  Taken,
  Busy,         // another holds the image in a way that excludes ours; nothing stays locked
  Unsupported,  // this file system has no such locks
};

// Marks the image as in use with open file description locks: read locks on byte 100+p for each permission p in use
// and on byte 200+p for each permission that others may not have (p: 0 read, 1 write, 3 resize). A reader lets others
// read, a writer shares nothing but reading, which is still refused to whoever does not share writing. The locks live
// as long as the open file. fcntl(2) F_OFD_SETLK; the bytes are those of QEMU's block/file-posix.
ImageLock lock_image(int fd, bool readonly);

}  // namespace nacre
