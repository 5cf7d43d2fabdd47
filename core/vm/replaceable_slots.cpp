#include "core/vm/replaceable_slots.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/log.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {

Status ReplaceableSlots::add(uint64_t base, uint32_t gsi, const std::string& driver) {
  virtio::MmioTransport* transport = vm_.platform().virtio_slot(base);
  if (!transport || has(base)) return fail("the machine has no free virtio-mmio slot at {:#x}.", base);
  auto vacant = vm_.devices().make(driver, fmt::format("{}@{:x}", driver, base), {}, true);
  if (!vacant) return vacant.error();
  if (!(*vacant)->virtio) {
    vm_.devices().unmake(**vacant);
    return fail("driver '{}' is no virtio device, so it cannot wait in a slot.", driver);
  }
  Status plugged = vm_.platform().take_line(gsi);
  if (plugged) plugged = transport->plug(*(*vacant)->virtio->device, gsi);
  if (!plugged) {
    vm_.devices().unmake(**vacant);
    return plugged;
  }
  slots_[base] = {gsi, std::move(*vacant)};
  return {};
}

Status ReplaceableSlots::fill(uint64_t base, nacre_instance& device) {
  Slot& slot = slots_.at(base);
  if (!slot.vacant) return fail("the slot is occupied already.");
  if (Status replaced = vm_.platform().virtio_slot(base)->replace(*device.virtio->device); !replaced) return replaced;
  vm_.devices().unmake(*slot.vacant);
  slot.vacant.reset();
  return {};
}

void ReplaceableSlots::vacate(nacre_instance& device) {
  const uint64_t base = device.placement.base;
  virtio::MmioTransport& transport = *vm_.platform().virtio_slot(base);
  if (closed_) return transport.unplug();
  // As many queues and entries as the driver in the guest knows, but nothing behind them.
  auto vacant = vm_.devices().make(device.type->name, fmt::format("{}@{:x}", device.type->name, base),
                                   device.properties.without_back_end(), true);
  Status replaced = vacant ? transport.replace(*(*vacant)->virtio->device) : vacant.error();
  if (replaced) {
    slots_.at(base).vacant = std::move(*vacant);
    return;
  }
  log::error("device", "the slot of {} stays out of use until the guest is reset: {}", device.name(),
             replaced.error().message);
  transport.unplug();
  if (vacant) vm_.devices().unmake(**vacant);
}

size_t ReplaceableSlots::count_vacant(const std::function<bool(const nacre_instance&)>& holds) const {
  return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return slot.second.vacant && holds(*slot.second.vacant);
  }));
}

void ReplaceableSlots::close() {
  closed_ = true;
  for (auto& [base, slot] : slots_) {
    if (!slot.vacant) continue;
    vm_.platform().virtio_slot(base)->unplug();
    vm_.devices().unmake(*slot.vacant);
    slot.vacant.reset();
  }
}

}  // namespace nacre
