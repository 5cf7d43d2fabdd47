#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

GuestMemory& memory(nacre_instance* instance) {
  return instance->vm.platform().memory();
}

const nacre_memory_view* acquire(nacre_instance* instance) noexcept {
  return memory(instance).acquire();
}
void release(nacre_instance* instance, const nacre_memory_view* view) noexcept {
  memory(instance).release(view);
}

// Nothing tracks writes yet: memory is saved whole.
void mark_dirty(nacre_instance*, uint64_t, uint64_t) noexcept {}

nacre_status read(nacre_instance* instance, uint64_t gpa, void* to, uint64_t length) noexcept {
  return memory(instance).read(gpa, to, length) ? NACRE_OK : NACRE_INVALID;
}
nacre_status write(nacre_instance* instance, uint64_t gpa, const void* from, uint64_t length) noexcept {
  return memory(instance).write(gpa, from, length) ? NACRE_OK : NACRE_INVALID;
}

nacre_status on_change(nacre_instance* instance, nacre_callback changed, void* opaque) noexcept {
  if (!changed) {
    for (uint64_t id : instance->memory_subscriptions) memory(instance).unsubscribe(id);
    instance->memory_subscriptions.clear();
    return NACRE_OK;
  }
  instance->memory_subscriptions.push_back(memory(instance).subscribe([=] { changed(opaque); }));
  return NACRE_OK;
}

}  // namespace

const nacre_memory_v1 kMemory{sizeof(nacre_memory_v1), 0, acquire, release, mark_dirty, read, write, on_change};

}  // namespace nacre::services
