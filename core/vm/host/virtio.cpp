#include "core/plugin/breadcrumb.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

nacre_status attach(nacre_instance* instance, const nacre_virtio_desc* desc, void* self, nacre_virtio** virtio,
                    nacre_error* slot) noexcept {
  if (instance->virtio) return finish(fail("it is a virtio device already; this is a defect of the plugin."), slot);
  auto enter = [instance](const char* function, const std::function<void()>& call) {
    Breadcrumb crumb(instance->plugin_id, instance->id, function);
    call();
  };
  auto device = virtio::VirtioDevice::create(*desc, self, *instance->loop, instance->name(), enter);
  if (!device) return finish(device.error(), slot);
  (*device)->on_exception([instance](const char* function, const std::string& what) {
    instance->vm.report_failure(
        instance->type, exception_text(instance->plugin_id, function, what, instance->id, "stops until it is reset"));
  });
  (*device)->on_hold([instance](const std::function<void()>& settled, const void* owner) {
    return hold(*instance, std::chrono::milliseconds(0), settled, owner);
  });
  instance->virtio = std::make_unique<nacre_virtio>(nacre_virtio{instance, std::move(*device)});
  *virtio = instance->virtio.get();
  return NACRE_OK;
}

void detach(nacre_virtio* virtio) noexcept {
  virtio->instance->virtio.reset();
}

void set_config(nacre_virtio* virtio, uint32_t offset, const void* data, uint32_t length, uint8_t notify) noexcept {
  virtio->device->set_config(offset, data, length, notify != 0);
}

void needs_reset(nacre_virtio* virtio, const char* reason) noexcept {
  virtio->device->needs_reset(reason);
}

}  // namespace

const nacre_virtio_v1 kVirtio{sizeof(nacre_virtio_v1), 0, attach, detach, set_config, needs_reset};

}  // namespace nacre::services
