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

nacre_status discard(nacre_instance* instance, uint64_t gpa, uint64_t length) noexcept {
  switch (memory(instance).discard(gpa, length)) {
    case GuestMemory::Discarded::Done:
      return NACRE_OK;
    case GuestMemory::Discarded::NotRam:
      return NACRE_INVALID;
    case GuestMemory::Discarded::Pinned:
      return NACRE_BUSY;
    case GuestMemory::Discarded::Refused:
      break;
  }
  return NACRE_IO;
}

nacre_status pin(nacre_instance* instance, nacre_error* slot) noexcept {
  if (Status pinned = instance->vm.balloon().pin(instance->id); !pinned) return finish(pinned, slot, NACRE_BUSY);
  memory(instance).pin();
  ++instance->pins;
  return NACRE_OK;
}

void unpin(nacre_instance* instance) noexcept {
  if (instance->pins == 0) return;
  --instance->pins;
  memory(instance).unpin();
  instance->vm.balloon().unpin(instance->id);
}

}  // namespace

const nacre_memory_v1 kMemory{
    sizeof(nacre_memory_v1), 0, acquire, release, mark_dirty, read, write, on_change, discard, pin, unpin};

}  // namespace nacre::services
