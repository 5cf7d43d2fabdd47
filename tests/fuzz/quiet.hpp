// Included by a target whose code writes to the log: nobody reads what millions of runs have to say.
#pragma once

#include "core/base/log.hpp"

namespace nacre::fuzz {

[[maybe_unused]] inline const bool kQuiet = (log::detail::threshold.store(0), true);

}  // namespace nacre::fuzz
