// What an x86 virtual machine has once: the interrupt controllers and the timer in the kernel, and the pages that
// virtualisation itself needs.
#include <sys/ioctl.h>

#include "core/kvm/vm.hpp"

namespace nacre::kvm {

std::vector<kvm_irq_routing_entry> line_routes() {
  constexpr uint32_t kIoapicPins = 24, kPicPins = 8;
  std::vector<kvm_irq_routing_entry> routes;
  auto add = [&](uint32_t gsi, uint32_t chip, uint32_t pin) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = pin;
    routes.push_back(entry);
  };
  for (uint32_t gsi = 0; gsi < kIoapicPins; ++gsi) {
    add(gsi, KVM_IRQCHIP_IOAPIC, gsi);
    if (gsi < 2 * kPicPins) add(gsi, gsi < kPicPins ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % kPicPins);
  }
  return routes;
}

Status Vm::set_tss_address(uint64_t gpa) {
  if (::ioctl(fd_.get(), KVM_SET_TSS_ADDR, static_cast<unsigned long>(gpa)) < 0)
    return ioctl_error("placing the TSS pages (KVM_SET_TSS_ADDR)");
  return {};
}

Status Vm::set_identity_map_address(uint64_t gpa) {
  if (::ioctl(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &gpa) < 0)
    return ioctl_error("placing the identity-map page (KVM_SET_IDENTITY_MAP_ADDR)");
  return {};
}

Status Vm::create_irqchip() {
  if (::ioctl(fd_.get(), KVM_CREATE_IRQCHIP, 0) < 0)
    return ioctl_error("making the interrupt controllers (KVM_CREATE_IRQCHIP)");
  has_irqchip_ = true;
  return {};
}

Status Vm::create_pit() {
  kvm_pit_config config{};
  config.flags = KVM_PIT_SPEAKER_DUMMY;
  if (::ioctl(fd_.get(), KVM_CREATE_PIT2, &config) < 0) return ioctl_error("making the 8254 timer (KVM_CREATE_PIT2)");
  has_pit_ = true;
  return {};
}

Status Vm::save_chips() {
  Chips chips{};
  if (has_irqchip_) {
    for (uint32_t id = 0; id < 3; ++id) {
      chips.chip[id].chip_id = id;
      if (::ioctl(fd_.get(), KVM_GET_IRQCHIP, &chips.chip[id]) < 0)
        return ioctl_error("reading the interrupt controllers (KVM_GET_IRQCHIP)");
    }
    // Masked, as firmware leaves them: a kernel that finds no use for them never programs them, and a line's edge
    // before it masks LINT0 would come as one of the processor's exceptions (their vectors begin at 0).
    for (uint32_t id : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE}) chips.chip[id].chip.pic.imr = 0xff;
  }
  chips.has_pit = has_pit_;
  if (has_pit_ && ::ioctl(fd_.get(), KVM_GET_PIT2, &chips.pit) < 0)
    return ioctl_error("reading the 8254 timer (KVM_GET_PIT2)");
  chips_ = chips;
  return restore_chips();
}

Status Vm::restore_chips() {
  if (!chips_) return fail("the interrupt controllers cannot be reset: their first state was not saved.");
  if (has_irqchip_)
    // The slave before the master, where what was pending in the slave would else be left behind.
    for (uint32_t id : {KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_IOAPIC})
      if (::ioctl(fd_.get(), KVM_SET_IRQCHIP, &chips_->chip[id]) < 0)
        return ioctl_error("resetting the interrupt controllers (KVM_SET_IRQCHIP)");
  if (chips_->has_pit && ::ioctl(fd_.get(), KVM_SET_PIT2, &chips_->pit) < 0)
    return ioctl_error("resetting the 8254 timer (KVM_SET_PIT2)");
  return {};
}

}  // namespace nacre::kvm
