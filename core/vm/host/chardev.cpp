#include "core/backend/chardev.hpp"

#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

struct nacre_chardev {
  nacre_instance* instance;
  nacre::Chardev* chardev;
};

namespace nacre::services {
namespace {

nacre_status open(nacre_instance* instance, const char* id, const nacre_chardev_events* events, void* opaque,
                  nacre_chardev** chardev, nacre_error* slot) noexcept {
  Result<Chardev*> taken = instance->vm.chardevs().take(id, instance->id);
  if (!taken) return finish(taken.error(), slot, NACRE_NOT_FOUND);
  auto bind = [opaque](nacre_callback callback) -> std::function<void()> {
    if (!callback) return {};
    return [callback, opaque] { callback(opaque); };
  };
  Status attached = (*taken)->attach(
      *instance->loop, {bind(events->readable), bind(events->writable), bind(events->opened), bind(events->closed)});
  if (!attached) {
    instance->vm.chardevs().give_back(id);
    return finish(attached, slot, NACRE_BUSY);
  }
  *chardev = new nacre_chardev{instance, *taken};
  return NACRE_OK;
}

void close(nacre_chardev* chardev) noexcept {
  chardev->chardev->detach();
  chardev->instance->vm.chardevs().give_back(chardev->chardev->id());
  delete chardev;
}

uint32_t read(nacre_chardev* chardev, void* data, uint32_t length) noexcept {
  return chardev->chardev->read(data, length);
}
uint32_t write(nacre_chardev* chardev, const void* data, uint32_t length) noexcept {
  return chardev->chardev->write(data, length);
}

nacre_status connect(nacre_instance* instance, const char* id, nacre_chardev** chardev, int32_t* fd,
                     nacre_error* slot) noexcept {
  Result<Chardev*> taken = instance->vm.chardevs().take(id, instance->id);
  if (!taken) return finish(taken.error(), slot, NACRE_NOT_FOUND);
  Result<Fd> dialled = (*taken)->dial();
  if (!dialled) {
    instance->vm.chardevs().give_back(id);
    return finish(dialled.error(), slot, NACRE_IO);
  }
  *chardev = new nacre_chardev{instance, *taken};
  *fd = dialled->release();
  return NACRE_OK;
}

}  // namespace

const nacre_chardev_v1 kChardev{sizeof(nacre_chardev_v1), 0, open, close, read, write, connect};

}  // namespace nacre::services
