// The process passt: started by this one, or, once this one may start no programs any more (core/sandbox), by a helper.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

// A running passt. What it talks over must be closed before this is destroyed: then it ends by itself, and is killed
// where it does not within half a second. Main thread.
class PasstProcess {
 public:
  virtual ~PasstProcess() = default;

  // Starts it with `socket` as its connection and `words` as its standard error; both stay the caller's. The process is
  // a child of this one, or of the helper where the sandbox is on. Returns 0 and the process, or errno: ENOENT where it
  // is not installed, EPERM where there is no helper, EPIPE where it has ended, or has not answered within 5 s: it is
  // asked nothing more then.
  static int start(int socket, int words, std::unique_ptr<PasstProcess>& process);
};

// Makes the helper, which waits for start() and ends with this process. `settle` runs in it first, to give up what this
// process will have given up by then; where it fails, so does every start. Call it while this process has one thread
// and is small, since the helper begins as its copy. Fails where no process can be made.
Status make_passt_helper(const std::function<Status()>& settle);

}  // namespace nacre
