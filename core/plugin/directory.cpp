#include "core/plugin/directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace nacre {
namespace {

std::string user_name(uid_t uid) {
  const passwd* entry = getpwuid(uid);
  return entry ? entry->pw_name : std::to_string(uid);
}

std::string group_name(gid_t gid) {
  const group* entry = getgrgid(gid);
  return entry ? entry->gr_name : std::to_string(gid);
}

std::string mode_text(const struct stat& info) {
  return fmt::format("{:04o}", info.st_mode & 07777);
}

const char* file_kind(mode_t mode) {
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISLNK(mode)) return "a symbolic link";
  return "a device";
}

std::string parent_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

// Whether a component of the path could be changed by a stranger. `top` is the plugin directory itself.
Status check_component(const std::string& directory, const std::string& component, const struct stat& info, bool top,
                       std::vector<std::string>& warnings) {
  bool sticky = !top && (info.st_mode & S_ISVTX);
  if ((info.st_mode & S_IWOTH) && !sticky)
    return fail(
        "plugin directory '{}' is refused: component '{}' is writable by others (mode {}, owner {}). Run: "
        "chmod o-w {}",
        directory, component, mode_text(info), user_name(info.st_uid), component);
  if (info.st_uid != 0 && info.st_uid != geteuid())
    return fail(
        "plugin directory '{}' is refused: component '{}' belongs to '{}', and this VMM runs as '{}'. Use a "
        "directory of root's or of that user's, or pass -plugin-insecure-dir.",
        directory, component, user_name(info.st_uid), user_name(geteuid()));
  if ((info.st_mode & S_IWGRP) && !sticky && info.st_gid != 0) {
    if (geteuid() == 0)
      return fail(
          "plugin directory '{}' is refused: component '{}' is writable by group '{}' (mode {}) and this VMM "
          "runs as root. Run: chmod g-w {}",
          directory, component, group_name(info.st_gid), mode_text(info), component);
    if (top || info.st_gid != getegid())
      warnings.push_back(fmt::format("plugin directory '{}': component '{}' is writable by group '{}' (mode {}).",
                                     directory, component, group_name(info.st_gid), mode_text(info)));
  }
  return {};
}

// Walks from the open directory up to the root by "..", so that nothing can be exchanged on the way.
Status check_upwards(const PluginDirectory& directory, std::vector<std::string>& warnings) {
  Fd at;
  int fd = directory.fd.get();
  std::string component = directory.path;
  for (bool top = true;; top = false) {
    struct stat info;
    if (fstat(fd, &info) != 0)
      return fail("plugin directory '{}': cannot examine '{}': {}.", directory.path, component, strerror(errno));
    if (Status checked = check_component(directory.path, component, info, top, warnings); !checked) return checked;
    if (component == "/") return {};
    Fd up(openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!up)
      return fail("plugin directory '{}': cannot open '{}': {}.", directory.path, parent_of(component),
                  strerror(errno));
    at = std::move(up);
    fd = at.get();
    component = parent_of(component);
  }
}

bool is_candidate(const char* name) {
  size_t length = strlen(name);
  return name[0] != '.' && length > 3 && strcmp(name + length - 3, ".so") == 0;
}

// The same rule for a file: its owner and those who may write to it.
Status check_file(const std::string& path, const struct stat& info) {
  if (info.st_mode & S_IWOTH)
    return fail("'{}' is refused: it is writable by others (mode {}). Run: chmod o-w '{}'", path, mode_text(info),
                path);
  if (info.st_uid != 0 && info.st_uid != geteuid())
    return fail("'{}' is refused: it belongs to '{}', and this VMM runs as '{}'. Run: chown {} '{}'", path,
                user_name(info.st_uid), user_name(geteuid()), user_name(geteuid()), path);
  if ((info.st_mode & S_IWGRP) && geteuid() == 0 && info.st_gid != 0)
    return fail(
        "'{}' is refused: it is writable by group '{}' (mode {}) and this VMM runs as root. Run: chmod g-w '{}'", path,
        group_name(info.st_gid), mode_text(info), path);
  return {};
}

Error open_failure(const PluginDirectory& directory, const std::string& path, const std::string& name, int reason) {
  struct stat info;
  if (fstatat(directory.fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return fail("cannot read '{}': {}.", path, strerror(reason));
  if (S_ISLNK(info.st_mode))
    return fail("'{}' is a symbolic link, not a regular file; ignored. Put the file itself there.", path);
  if (!S_ISREG(info.st_mode)) return fail("'{}' is {}, not a regular file; ignored.", path, file_kind(info.st_mode));
  return fail("cannot read '{}': {} (owner {}, mode {}, running as {}).", path, strerror(reason),
              user_name(info.st_uid), mode_text(info), user_name(geteuid()));
}

FileStamp stamp_from(const struct stat& info) {
  return {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size), info.st_mtim, info.st_ctim};
}

bool equal(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

bool FileStamp::same_content(const FileStamp& other) const {
  return same_file(other) && size == other.size && equal(modified, other.modified);
}

bool FileStamp::untouched(const FileStamp& other) const {
  return same_content(other) && equal(changed, other.changed);
}

std::optional<FileStamp> stamp_of(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return std::nullopt;
  return stamp_from(info);
}

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return std::nullopt;
  return stamp_from(info);
}

Result<PluginDirectory> open_plugin_directory(const std::string& path, bool insecure) {
  char resolved[PATH_MAX];
  if (!realpath(path.c_str(), resolved)) {
    if (errno == ENOENT) return fail("plugin directory '{}' does not exist.", path);
    return fail("cannot open plugin directory '{}': {}.", path, strerror(errno));
  }
  PluginDirectory directory;
  directory.path = resolved;
  directory.insecure = insecure;
  directory.fd = Fd(open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.fd) {
    if (errno == ENOTDIR) return fail("plugin directory '{}' is not a directory.", path);
    return fail("cannot read plugin directory '{}': {} (running as {}).", path, strerror(errno), user_name(geteuid()));
  }
  if (!insecure)
    if (Status safe = check_upwards(directory, directory.warnings); !safe) return safe.error();

  // fdopendir() takes the descriptor it reads from.
  int listing = openat(directory.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = listing < 0 ? nullptr : fdopendir(listing);
  if (!stream) {
    int reason = errno;
    if (listing >= 0) ::close(listing);
    return fail("cannot read plugin directory '{}': {}.", path, strerror(reason));
  }
  while (const dirent* entry = readdir(stream))
    if (is_candidate(entry->d_name)) directory.names.emplace_back(entry->d_name);
  closedir(stream);
  std::sort(directory.names.begin(), directory.names.end());
  return directory;
}

Result<PluginFile> open_plugin_file(PluginDirectory& directory, const std::string& name) {
  PluginFile file;
  file.path = (directory.path == "/" ? "" : directory.path) + "/" + name;
  // O_NONBLOCK: a FIFO without a writer would hold the start-up for ever.
  file.fd = Fd(openat(directory.fd.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!file.fd) return open_failure(directory, file.path, name, errno);
  struct stat info;
  if (fstat(file.fd.get(), &info) != 0) return fail("cannot read '{}': {}.", file.path, strerror(errno));
  if (!S_ISREG(info.st_mode))
    return fail("'{}' is {}, not a regular file; ignored.", file.path, file_kind(info.st_mode));
  if (!directory.insecure)
    if (Status safe = check_file(file.path, info); !safe) return safe.error();
  file.stamp = stamp_from(info);
  if (file.stamp.size > kMaxPluginSize)
    return fail("'{}' is refused: it has {} bytes, and a plugin may have at most {}.", file.path, file.stamp.size,
                kMaxPluginSize);
  return file;
}

}  // namespace nacre
