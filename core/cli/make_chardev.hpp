// A character back end as the command line describes it.
#pragma once

#include <memory>

#include "core/backend/chardev.hpp"
#include "core/cli/options.hpp"

namespace nacre::cli {

// Opens it: makes the file, listens at the socket, and so on.
Result<std::unique_ptr<nacre::Chardev>> make_chardev(const Chardev& wanted);

}  // namespace nacre::cli
