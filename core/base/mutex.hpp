// The locks of the host, by the names that the rest of it uses: see <nacre/mutex.hpp>.
#pragma once

#include <nacre/mutex.hpp>

namespace nacre {

using sdk::Condition;
using sdk::Mutex;
using sdk::MutexLock;

}  // namespace nacre
