// A kernel or an initial file system as an open file.
#pragma once

#include <cstdint>
#include <nacre/result.hpp>
#include <span>
#include <string>
#include <utility>

namespace nacre::machine {

// An open regular file that is not empty. Owns its descriptor, so what was checked is what is loaded, also at a reset
// after the path has come to name another file.
class BootFile {
 public:
  BootFile() = default;
  ~BootFile();
  BootFile(BootFile&& other) noexcept { swap(other); }
  BootFile& operator=(BootFile&& other) noexcept {
    swap(other);
    return *this;
  }

  // Opens `path`; `what` names it in errors ("kernel", "initrd"). Fails, in words, when it is missing, unreadable, a
  // directory or other special file, or empty.
  static sdk::Result<BootFile> open(const std::string& path, const std::string& what);

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  uint64_t size() const { return size_; }  // bytes, at the time of opening
  const std::string& path() const { return path_; }
  const std::string& what() const { return what_; }

  // Reads up to to.size() bytes at `offset`; returns how many there were before the end of the file, or an error when
  // the host cannot read it.
  sdk::Result<size_t> read(uint64_t offset, std::span<uint8_t> to) const;

 private:
  void swap(BootFile& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(size_, other.size_);
    path_.swap(other.path_);
    what_.swap(other.what_);
  }

  int fd_ = -1;
  uint64_t size_ = 0;
  std::string path_;
  std::string what_;
};

}  // namespace nacre::machine
