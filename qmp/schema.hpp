// The commands and events in the form of QEMU's query-qmp-schema: a flat list of types that name each other.
#pragma once

#include <list>

#include "qmp/command.hpp"

namespace nacre::qmp {

boost::json::array schema(const std::list<Command>& commands, std::span<const Event> events);

}  // namespace nacre::qmp
