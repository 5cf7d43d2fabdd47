// Guest memory and files for the tests of this room.
#pragma once

#include <gtest/gtest.h>
#include <nacre/abi/memory.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nacre/memory.hpp>
#include <string>
#include <vector>

#include "machines/common/boot_file.hpp"
#include "machines/common/bytes.hpp"
#include "machines/common/memory_map.hpp"

namespace nacre::machine {

// RAM from address 0 up, full of 0xAA: as a guest before a reset has left it.
class FakeGuest {
 public:
  explicit FakeGuest(uint64_t size) : ram(size, 0xaa) {
    region_ = {0, size, ram.data(), 0, -1, 0};
    view_ = {sizeof view_, 1, sizeof region_, 0, 1, &region_};
  }
  sdk::MemoryView memory() const { return sdk::MemoryView(&view_); }
  RamLayout layout() const { return RamLayout::split(ram.size(), 0xc0000000); }
  template <typename T>
  T at(uint64_t gpa) const {
    return get<T>(ram, gpa);
  }
  std::string text(uint64_t gpa, size_t length) const {
    return {reinterpret_cast<const char*>(ram.data()) + gpa, length};
  }
  std::span<const uint8_t> bytes(uint64_t gpa, size_t length) const { return {ram.data() + gpa, length}; }

  std::vector<uint8_t> ram;

 private:
  nacre_memory_region region_{};
  nacre_memory_view view_{};
};

// A directory of its own, gone with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    path_ = ::testing::TempDir() + "nacre-machine-XXXXXX";
    if (!::mkdtemp(path_.data())) std::abort();
  }
  ~TemporaryDirectory() { [[maybe_unused]] int status = std::system(("rm -rf '" + path_ + "'").c_str()); }
  const std::string& path() const { return path_; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, std::span<const uint8_t> bytes) const {
    const std::string path = path_ + "/" + name;
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return path;
  }
  BootFile file(const std::string& name, std::span<const uint8_t> bytes) const {
    sdk::Result<BootFile> opened = BootFile::open(write(name, bytes), "kernel");
    EXPECT_TRUE(opened);
    return std::move(*opened);
  }

 private:
  std::string path_;
};

}  // namespace nacre::machine
