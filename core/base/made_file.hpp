// A file that this process has made at a path: at the end it removes that one, and nothing that others put in its
// place.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace nacre {

// Any thread; not shared. Moves; what it was moved from removes nothing.
class MadeFile {
 public:
  MadeFile() = default;
  // `path` names what has just been made; a file that cannot be looked at stays.
  explicit MadeFile(std::string path) : path_(std::move(path)) {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0) path_.clear();
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  MadeFile(MadeFile&& other) noexcept { *this = std::move(other); }
  MadeFile& operator=(MadeFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
  }
  ~MadeFile() {
    struct stat status {};
    if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
      ::unlink(path_.c_str());
  }

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace nacre
