// A network for everybody: passt, a helper process that turns the guest's frames into connections of this host.
#pragma once

#include <memory>

#include "core/backend/net_backend.hpp"

namespace nacre {

// Starts passt, which ends with this back end. Fails with one sentence where it is not installed or cannot be started;
// should it end on its own, that is logged with its last words and the guest is without a network.
Result<std::unique_ptr<NetBackend>> open_net_passt(const NetOptions& options);

}  // namespace nacre
