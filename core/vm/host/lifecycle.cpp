#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

void request(nacre_instance* instance, uint32_t what) noexcept {
  LifeCycle& life_cycle = instance->vm.life_cycle();
  if (what == NACRE_REQUEST_SHUTDOWN) life_cycle.request_shutdown();
  if (what == NACRE_REQUEST_RESET) life_cycle.request_reset();
}

nacre_status on_powerdown(nacre_instance* instance, nacre_callback pressed, void* opaque) noexcept {
  instance->powerdown = [=] { pressed(opaque); };
  return NACRE_OK;
}

}  // namespace

const nacre_lifecycle_v1 kLifecycle{sizeof(nacre_lifecycle_v1), 0, request, on_powerdown};

}  // namespace nacre::services
