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

void release(nacre_mmio_region* region) noexcept {
  region->space->release(region->region);
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

const nacre_mmio_v1 kMmio{sizeof(nacre_mmio_v1), 0, claim, release, ioeventfd};

}  // namespace nacre::services
