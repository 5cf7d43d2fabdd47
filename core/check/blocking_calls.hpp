// System calls in which a thread may have to wait, found without changing them: a seccomp filter shows each to a second
// thread, which looks at it and lets it go on.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace nacre::check {

// Runs `body` on a thread of its own and returns the calls by which it might have waited: "nanosleep()",
// "read() of descriptor 5". Calls that return at once whatever happens are none: on a descriptor with O_NONBLOCK, with
// a timeout of 0. `warm_up` runs on that thread first, unwatched. Throws Cannot where the kernel has no such filters.
std::vector<std::string> blocking_calls(const std::function<void()>& warm_up, const std::function<void()>& body);

}  // namespace nacre::check
