#include "core/cli/landlock.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nacre::cli {
namespace {

// Later than Debian 12's headers.
constexpr uint64_t kTruncate = 1 << 14;     // since ABI 3
constexpr uint64_t kIoctlDevice = 1 << 15;  // since ABI 5

// What an ABI of the kernel knows of rights, each ABI all of the one before it.
uint64_t rights_of(int abi) {
  uint64_t rights = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;  // ABI 1: the first thirteen
  if (abi >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kIoctlDevice;
  return rights;
}

// Neither to execute, nor to make or remove anything but plain files and sockets.
constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | kIoctlDevice;
constexpr uint64_t kWrite = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                            LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | kTruncate;
// The kernel refuses the others for what is no directory.
constexpr uint64_t kOfFiles = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate | kIoctlDevice;

// Where the dynamic loader finds what a plugin is linked with.
constexpr const char* kLibraries[] = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"};

}  // namespace

Status Landlock::add(const std::string& path, bool writable) {
  Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status;
  if (!fd || ::fstat(fd.get(), &status) != 0)
    return fail("-landlock: '{}' cannot be opened: {}.", path, strerror(errno));
  rules_.push_back({std::move(fd), S_ISDIR(status.st_mode), writable});
  return {};
}

Result<Landlock> Landlock::prepare(std::span<const OpenPath> paths, std::span<const std::string> plugins) {
  Landlock made;
  if (paths.empty()) return made;
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1 && errno == EOPNOTSUPP)
    return fail(
        "-landlock: Landlock is off in this kernel; put landlock first into its parameter lsm=, or leave -landlock "
        "out.");
  if (abi < 1)
    return fail(
        "-landlock: this kernel has no Landlock ({}), which Linux has from 5.13 on where it is configured; leave "
        "-landlock out, or use -chroot and -runas.",
        strerror(errno));
  made.abi_ = static_cast<int>(abi);
  for (const OpenPath& path : paths)
    if (Status added = made.add(path.path, path.writable); !added) return added.error();
  for (const std::string& directory : plugins) (void)made.add(directory, false);
  for (const char* library : kLibraries) (void)made.add(library, false);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail("-landlock: this kernel knows no PR_SET_NO_NEW_PRIVS: {}.", strerror(errno));
  return made;
}

Status Landlock::restrict(std::span<EventLoop* const> others) const {
  Status done = restrict_this_thread();
  for (EventLoop* loop : others)
    if (done) loop->call([&] { done = restrict_this_thread(); });
  return done;
}

Status Landlock::restrict_this_thread() const {
  if (rules_.empty()) return {};
  const uint64_t known = rights_of(abi_);
  const landlock_ruleset_attr attributes{.handled_access_fs = known};
  Fd rules(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules) return fail("-landlock: the kernel makes no set of rules: {}.", strerror(errno));
  for (const Rule& rule : rules_) {
    landlock_path_beneath_attr beneath{.allowed_access = known & (rule.writable ? kRead | kWrite : kRead),
                                       .parent_fd = rule.path.get()};
    if (!rule.directory) beneath.allowed_access &= kOfFiles;
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
      return fail("-landlock: the kernel refuses a rule: {}.", strerror(errno));
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0)
    return fail("-landlock: the kernel does not restrict the process: {}.", strerror(errno));
  return {};
}

}  // namespace nacre::cli
