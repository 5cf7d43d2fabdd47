#include "core/bus/region.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

nacre_status claim(nacre_instance* instance, uint32_t space, uint64_t base, uint64_t length, uint32_t flags,
                   const nacre_mmio_ops* ops, void* opaque, nacre_mmio_region** region, nacre_error* slot) noexcept {
  if (space != NACRE_SPACE_MMIO && space != NACRE_SPACE_PIO)
    return finish(fail("address space {} does not exist; this is a defect of the plugin.", space), slot);
  AddressSpace& bus = instance->vm.platform().space(space);
  Result<BusRegion*> claimed =
      bus.claim(base, length, flags, *ops, opaque, "plugin '" + instance->plugin_id + "' (" + instance->id + ")");
  if (!claimed) return finish(claimed.error(), slot, NACRE_BUSY);
  instance->regions.push_back(std::make_unique<nacre_mmio_region>(nacre_mmio_region{instance, &bus, *claimed}));
  *region = instance->regions.back().get();
  return NACRE_OK;
}

// A slot of KVM that the guest only reads: writes leave it, with or without a slot.
nacre_status map(nacre_mmio_region* region, void* memory, uint64_t length, nacre_error* slot) noexcept {
  Platform& platform = region->instance->vm.platform();
  const uint64_t base = region->region->base;
  if (region->space != &platform.space(NACRE_SPACE_MMIO) || length > region->region->length ||
      (base | length | reinterpret_cast<uintptr_t>(memory)) % GuestMemory::kPageSize != 0 || (memory && length == 0))
    return finish(fail("{} cannot map {:#x} bytes at {:#x}: whole pages of its memory-mapped range are possible.",
                       region->region->owner, length, base),
                  slot, NACRE_INVALID);
  if (!memory && !region->mapped) return NACRE_OK;
  if (!region->memslot) region->memslot = platform.take_memslot();
  kvm::Vm& vm = platform.vm();
  if (region->mapped)
    if (Status removed = vm.set_memory_slot(*region->memslot, base, 0, nullptr); !removed) return finish(removed, slot);
  region->mapped = false;
  if (!memory) return NACRE_OK;
  Status set = vm.set_memory_slot(*region->memslot, base, length, memory, KVM_MEM_READONLY);
  region->mapped = bool(set);
  return finish(set, slot);
}

void release(nacre_mmio_region* region) noexcept {
  Platform& platform = region->instance->vm.platform();
  const uint64_t base = region->region->base;
  region->space->release(region->region);  // no vCPU is in its functions any more, so none maps it again
  if (region->mapped) (void)platform.vm().set_memory_slot(*region->memslot, base, 0, nullptr);
  if (region->memslot) platform.give_memslot_back(*region->memslot);
  std::erase_if(region->instance->regions, [=](auto& held) { return held.get() == region; });
}

nacre_status ioeventfd(nacre_mmio_region* region, uint64_t offset, uint32_t width, uint8_t match, uint64_t value,
                       int32_t* fd, nacre_error* slot) noexcept {
  Result<int> made = region->space->ioeventfd(region->region, offset, width, match != 0, value);
  if (!made) return finish(made.error(), slot);
  *fd = *made;
  return NACRE_OK;
}

}  // namespace

const nacre_mmio_v1 kMmio{sizeof(nacre_mmio_v1), 0, claim, release, ioeventfd, map};

}  // namespace nacre::services
