#include "core/cli/privileges.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <tuple>

#include "core/base/log.hpp"

namespace nacre::cli {
namespace {

constexpr int kMaxGroups = 65536;  // NGROUPS_MAX of Linux

// Makes the file systems that the process sees its own: what it mounts is nobody else's (mount_namespaces(7)). 0 or
// errno.
int leave_mount_namespace() {
  const bool done = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return done ? 0 : errno;
}

// Makes `directory` the root of the process's own mount namespace and lets go of everything else that was mounted
// there, so that there is no way back (pivot_root(2)). After a failure all is as it was, but for a mount on the
// directory. 0 or errno.
int pivot_to(int directory) {
  const Fd tree(::open_tree(directory, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  const bool done =
      tree && ::move_mount(tree.get(), "", directory, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0 &&
      ::fchdir(tree.get()) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0;
  return done ? 0 : errno;
}

// "UID:GID", both decimal and below 2^32 - 1, which stands for "no change".
std::optional<std::pair<uid_t, gid_t>> numbers(const std::string& text) {
  uint32_t ids[2];
  const char* at = text.data();
  const char* end = at + text.size();
  for (uint32_t& id : ids) {
    const auto [rest, error] = std::from_chars(at, end, id);
    if (error != std::errc() || id == UINT32_MAX) return {};
    at = rest;
    if (&id == ids && (at == end || *at++ != ':')) return {};
  }
  if (at != end) return {};
  return std::pair{ids[0], ids[1]};
}

}  // namespace

Status Privileges::find(const std::string& user) {
  has_user_ = true;
  if (auto given = numbers(user)) {
    std::tie(uid_, gid_) = *given;
    groups_ = {gid_};
  } else {
    const passwd* known = ::getpwnam(user.c_str());
    if (!known) return fail("-runas: there is no user '{}'; give a name of this host, or UID:GID.", user);
    uid_ = known->pw_uid, gid_ = known->pw_gid;
    int count = kMaxGroups;
    groups_.resize(kMaxGroups);
    if (::getgrouplist(user.c_str(), gid_, groups_.data(), &count) < 0)
      return fail("-runas: the user '{}' is in more than {} groups.", user, kMaxGroups);
    groups_.resize(static_cast<size_t>(count));
    groups_.shrink_to_fit();
  }
  if (uid_ == 0) return fail("-runas: '{}' is root, who keeps all privileges; name an ordinary user.", user);
  return {};
}

Result<Privileges> Privileges::prepare(const std::string& user, const std::string& directory) {
  Privileges made;
  if (user.empty() && directory.empty()) return made;
  if (!user.empty())
    if (Status found = made.find(user); !found) return found.error();
  if (::geteuid() != 0)
    return fail("{} is for root, who has privileges to give up; leave it out, or start as root.",
                user.empty() ? "-chroot" : "-runas");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail("-runas, -chroot: this kernel knows no PR_SET_NO_NEW_PRIVS: {}.", strerror(errno));
  if (directory.empty()) return made;
  made.no_namespace_ = leave_mount_namespace();
  // In that namespace, or it cannot become its root.
  made.directory_ = Fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!made.directory_) return fail("-chroot: '{}' cannot be opened: {}.", directory, strerror(errno));
  return made;
}

Status Privileges::change_root() const {
  if (const int error = no_namespace_ ? no_namespace_ : pivot_to(directory_.get())) {
    log::warn("cli", "-chroot goes without a mount namespace of its own: {}", strerror(error));
    if (::fchdir(directory_.get()) != 0 || ::chroot(".") != 0)
      return fail("-chroot: the root directory cannot be changed: {}.", strerror(errno));
  }
  if (::chdir("/") != 0) return fail("-chroot: the root directory cannot be entered: {}.", strerror(errno));
  return {};
}

// The root directory first, which takes privileges; the user last. glibc changes the ids of all threads.
Status Privileges::give_up() const {
  if (directory_)
    if (Status changed = change_root(); !changed) return changed;
  if (!has_user_) return {};
  if (::setgroups(groups_.size(), groups_.data()) != 0 || ::setresgid(gid_, gid_, gid_) != 0 ||
      ::setresuid(uid_, uid_, uid_) != 0)
    return fail("-runas: the process cannot become user {}, group {}: {}.", uid_, gid_, strerror(errno));
  // What could be taken back was not given up.
  if (::setuid(0) == 0) return fail("-runas: the process could become root again.");
  return {};
}

}  // namespace nacre::cli
