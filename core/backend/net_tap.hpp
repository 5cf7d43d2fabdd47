// A tap interface of the host as a network back end, with the kernel's vhost-net beside it where that is asked for.
#pragma once

#include <memory>

#include "core/backend/net_backend.hpp"

namespace nacre {

// Opens the interface by name (an existing one; or a new one where this process may make it), or takes the descriptors
// of one over. Fails with one sentence.
Result<std::unique_ptr<NetBackend>> open_net_tap(const NetOptions& options);

}  // namespace nacre
