// A character back end as the command line describes it.
#pragma once

#include <memory>

#include "core/backend/chardev.hpp"
#include "core/cli/options.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::cli {

// Opens it: makes the file, listens at the socket, has a plugin of `vm` make it, and so on.
Result<std::unique_ptr<nacre::Chardev>> make_chardev(VirtualMachine& vm, const Chardev& wanted);

}  // namespace nacre::cli
