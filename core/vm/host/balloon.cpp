#include "core/vm/balloon.hpp"

#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

// The handle is the instance: there is one balloon, and it is a device.
nacre_instance* of_handle(nacre_balloon* balloon) {
  return reinterpret_cast<nacre_instance*>(balloon);
}

nacre_status attach(nacre_instance* instance, const nacre_balloon_ops* ops, void* self, nacre_balloon** balloon,
                    nacre_error* slot) noexcept {
  Status attached = instance->vm.balloon().attach(instance->id, *ops, self);
  if (!attached) return finish(attached, slot, NACRE_BUSY);
  instance->balloon = true;
  *balloon = reinterpret_cast<nacre_balloon*>(instance);
  return NACRE_OK;
}

void detach(nacre_balloon* balloon) noexcept {
  of_handle(balloon)->balloon = false;
  of_handle(balloon)->vm.balloon().detach();
}

void changed(nacre_balloon* balloon, uint64_t actual) noexcept {
  kQmp.event(of_handle(balloon), "BALLOON_CHANGED", fmt::format("{{\"actual\":{}}}", actual).c_str());
}

}  // namespace

const nacre_balloon_v1 kBalloon{sizeof(nacre_balloon_v1), 0, attach, detach, changed};

}  // namespace nacre::services
