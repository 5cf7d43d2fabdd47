// How the descriptors of a tap and of vhost-net are come by. For the tap back end's own files.
#pragma once

#include <vector>

#include "core/backend/net_options.hpp"
#include "core/base/fd.hpp"

namespace nacre {

// One descriptor a pair of queues, each a queue of the interface that `options` names: not blocking, headers of 12
// bytes, no offloads. Fails with one sentence that says why the interface cannot be used and what would help.
Result<std::vector<Fd>> open_tap_queues(const NetOptions& options);

// Checks that the descriptors of the options are queues of one tap, and readies them as open_tap_queues() does. They
// stay the caller's.
Status check_tap_descriptors(const NetOptions& options);

// One descriptor of /dev/vhost-net.
Result<Fd> open_vhost_net(const std::string& id);
// Checks that the descriptor is one of vhost-net. It stays the caller's.
Status check_vhost_descriptor(const std::string& id, int fd);

}  // namespace nacre
