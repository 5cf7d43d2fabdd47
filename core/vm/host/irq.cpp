#include <sys/eventfd.h>

#include <algorithm>
#include <cstring>

#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

nacre_status connect(nacre_instance* instance, uint32_t gsi, nacre_irq** irq, nacre_error* slot) noexcept {
  if (Status taken = instance->vm.platform().take_line(gsi); !taken) return finish(taken, slot, NACRE_BUSY);
  instance->irqs.push_back(std::make_unique<nacre_irq>(nacre_irq{instance, gsi, Fd()}));
  *irq = instance->irqs.back().get();
  return NACRE_OK;
}

void disconnect(nacre_irq* irq) noexcept {
  nacre_instance* instance = irq->instance;
  Platform& platform = instance->vm.platform();
  if (irq->fd) (void)platform.vm().remove_irqfd(irq->gsi, irq->fd.get());
  platform.give_line_back(irq->gsi);
  std::erase_if(instance->irqs, [=](auto& held) { return held.get() == irq; });
}

void set(nacre_irq* irq, uint32_t level) noexcept {
  (void)irq->instance->vm.platform().vm().set_irq_line(irq->gsi, level != 0);
}

void pulse(nacre_irq* irq) noexcept {
  set(irq, 1);
  set(irq, 0);
}

int32_t irqfd(nacre_irq* irq) noexcept {
  if (irq->fd) return irq->fd.get();
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd || !irq->instance->vm.platform().vm().add_irqfd(irq->gsi, fd.get())) return -1;
  irq->fd = std::move(fd);
  return irq->fd.get();
}

}  // namespace

const nacre_irq_v1 kIrq{sizeof(nacre_irq_v1), 0, connect, disconnect, set, pulse, irqfd};

}  // namespace nacre::services
