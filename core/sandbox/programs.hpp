// What the generator of the filters and their user agree on.
#pragma once

#include <cstdint>

namespace nacre::sandbox {

// Stands in a filter for the id of the process, which is not known when the filter is made.
constexpr uint32_t kSelf = 0x5e1f0001;

}  // namespace nacre::sandbox
