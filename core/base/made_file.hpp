// A file that this process has made at a path: at the end it removes that one, and nothing that others put in its
// place.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

namespace nacre {

// Any thread; not shared. Moves; what it was moved from removes nothing.
class MadeFile {
 public:
  MadeFile() = default;
  // `path` names what has just been made; a file that cannot be looked at stays.
  explicit MadeFile(std::string path);
  MadeFile(MadeFile&& other) noexcept = default;
  MadeFile& operator=(MadeFile&& other) noexcept {
    std::swap(made_, other.made_);
    return *this;
  }
  ~MadeFile();

  // [any] Removes all that there are, for a process that ends without its destructors.
  static void remove_all();

 private:
  struct Made {
    std::string path;
    dev_t device;
    ino_t inode;
    void remove() const;
  };
  std::unique_ptr<Made> made_;  // where it is known by, too
};

}  // namespace nacre
