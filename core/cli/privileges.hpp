// -runas and -chroot: what the process gives up before its guest runs.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre::cli {

// Main thread only.
class Privileges {
 public:
  // Looks up `user`, a name or UID:GID, and opens `directory`; either may be empty, and stays as it is then. From here
  // on no program that the process starts gains privileges by its file (PR_SET_NO_NEW_PRIVS), and with a directory the
  // process has a mount namespace of its own where it may; call it before the first thread is made, or that thread goes
  // without. Fails in the user's words, also where the process is not root's.
  static Result<Privileges> prepare(const std::string& user, const std::string& directory);

  // Gives up, for all threads and for good: the root directory becomes `directory`, all groups, ids and capabilities
  // those of `user`. After a failure the process may have given up a part and must end.
  Status give_up() const;

 private:
  Privileges() = default;
  Status find(const std::string& user);
  Status change_root() const;

  Fd directory_;
  int no_namespace_ = 0;  // errno of what kept the process from a mount namespace of its own
  bool has_user_ = false;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::vector<gid_t> groups_;
};

}  // namespace nacre::cli
