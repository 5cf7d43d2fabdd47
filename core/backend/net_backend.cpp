#include "core/backend/net_backend.hpp"

#include "core/backend/net_passt.hpp"
#include "core/backend/net_tap.hpp"

namespace nacre {

Result<std::unique_ptr<NetBackend>> NetBackend::open(const NetOptions& options) {
  if (Status status = options.check(); !status) return status.error();
  return options.kind == NetKind::User ? open_net_passt(options) : open_net_tap(options);
}

}  // namespace nacre
