#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

nacre_status open(nacre_instance* instance, const char* id, int32_t* fd, nacre_error* slot) noexcept {
  Result<int> found = instance->vm.random_sources().find(id);
  if (!found) return finish(found.error(), slot, NACRE_NOT_FOUND);
  *fd = *found;
  return NACRE_OK;
}

}  // namespace

const nacre_rng_v1 kRng{sizeof(nacre_rng_v1), 0, open};

}  // namespace nacre::services
