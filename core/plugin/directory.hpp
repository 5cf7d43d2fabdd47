// Plugin directories and the files in them: who may write there, and what is a candidate at all.
#pragma once

#include <sys/types.h>

#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

inline constexpr uint64_t kMaxPluginSize = 64u << 20;

struct PluginDirectory {
  std::string path;  // without symbolic links
  Fd fd;
  bool insecure = false;
  std::vector<std::string> names;     // of the candidates, "*.so", sorted bytewise; hidden ones are left out
  std::vector<std::string> warnings;  // sentences
};

// Which file it is, and by what a change of its content shows.
struct FileStamp {
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t size = 0;    // bytes
  timespec modified{};  // when its content was changed last, as it says; a tool may set it
  timespec changed{};   // when anything of it was changed last: its name, its mode, its content

  bool same_file(const FileStamp& other) const { return device == other.device && inode == other.inode; }
  // Whether the content is still the same, to all appearance.
  bool same_content(const FileStamp& other) const;
  // Stricter: nothing was done to it at all, not even a renaming.
  bool untouched(const FileStamp& other) const;
};

// Returns the stamp of the file behind a descriptor or of the one at a path, without following a link; nothing where
// there is none.
std::optional<FileStamp> stamp_of(int fd);
std::optional<FileStamp> stamp_of(const std::string& path);

struct PluginFile {
  std::string path;
  Fd fd;
  FileStamp stamp;
};

// Opens a directory and lists it. Fails when it is missing or no directory, or when it or a directory above it could be
// changed by somebody who is neither root nor the user of this process: writable by others, or by a group while this
// process runs as root, or owned by a stranger. A directory above it that is writable by others is accepted when it has
// the sticky bit, as /tmp has: there only the owner can replace the next component, and that owner is checked too.
// `insecure` leaves these checks out, here and for its files.
Result<PluginDirectory> open_plugin_directory(const std::string& path, bool insecure);

// Opens one candidate without following a link or waiting for a FIFO. Fails with a sentence when it cannot be read, is
// no regular file, is larger than kMaxPluginSize, or could be changed by a stranger.
Result<PluginFile> open_plugin_file(PluginDirectory& directory, const std::string& name);

}  // namespace nacre
