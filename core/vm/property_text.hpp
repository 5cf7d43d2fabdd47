// Properties as the command line writes them.
#pragma once

#include <string_view>

#include "core/vm/devices.hpp"

namespace nacre {

// Splits "name=value,name=value"; a word without '=' is a property that is on.
Devices::Properties split_properties(std::string_view text);

}  // namespace nacre
