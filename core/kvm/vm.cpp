#include "core/kvm/vm.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/kvm/flexible.hpp"

namespace nacre::kvm {

Result<Vm> Vm::create(const Kvm& kvm) {
  int fd;
  // Interrupted by signals while it waits for the other processors.
  do fd = ::ioctl(kvm.fd(), KVM_CREATE_VM, 0);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return ioctl_error("making a virtual machine (KVM_CREATE_VM)");
  Vm vm;
  vm.fd_ = Fd(fd);
  return vm;
}

int Vm::check_extension(int capability) const {
  return std::max(0, ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability)));
}

Status Vm::set_memory_slot(uint32_t slot, uint64_t gpa, uint64_t length, void* hva, uint32_t flags) {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = gpa;
  region.memory_size = length;
  region.userspace_addr = reinterpret_cast<uintptr_t>(hva);
  if (::ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &region) < 0)
    return fail("giving the guest memory slot {} of {:#x} bytes at {:#x} failed: {}.", slot, length, gpa,
                strerror(errno));
  return {};
}

Status Vm::set_irq_line(uint32_t gsi, bool level) {
  kvm_irq_level line{};
  line.irq = gsi;
  line.level = level;
  if (::ioctl(fd_.get(), KVM_IRQ_LINE, &line) < 0)
    return fail("setting interrupt line {} failed: {}.", gsi, strerror(errno));
  return {};
}

Status Vm::signal_msi(uint64_t address, uint32_t data) {
  kvm_msi msi{};
  msi.address_lo = static_cast<uint32_t>(address);
  msi.address_hi = static_cast<uint32_t>(address >> 32);
  msi.data = data;
  int delivered = ::ioctl(fd_.get(), KVM_SIGNAL_MSI, &msi);
  if (delivered < 0) return ioctl_error("sending a message-signalled interrupt (KVM_SIGNAL_MSI)");
  if (delivered == 0)
    return fail("the guest takes no message-signalled interrupt with address {:#x} and data {:#x} now.", address, data);
  return {};
}

Status Vm::add_irqfd(uint32_t gsi, int fd, int resample_fd) {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(fd);
  irqfd.gsi = gsi;
  if (resample_fd >= 0) {
    irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
    irqfd.resamplefd = static_cast<uint32_t>(resample_fd);
  }
  if (::ioctl(fd_.get(), KVM_IRQFD, &irqfd) < 0)
    return fail("tying an eventfd to interrupt {} (KVM_IRQFD) failed: {}.", gsi, strerror(errno));
  return {};
}

Status Vm::remove_irqfd(uint32_t gsi, int fd) {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<uint32_t>(fd);
  irqfd.gsi = gsi;
  irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
  if (::ioctl(fd_.get(), KVM_IRQFD, &irqfd) < 0)
    return fail("untying an eventfd from interrupt {} (KVM_IRQFD) failed: {}.", gsi, strerror(errno));
  return {};
}

Status Vm::set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries) {
  Counted<kvm_irq_routing_entry> routing(entries.size());
  std::copy(entries.begin(), entries.end(), routing.entries());
  if (::ioctl(fd_.get(), kSetGsiRouting, routing.get()) < 0)
    return fail("setting the routes of {} interrupts (KVM_SET_GSI_ROUTING) failed: {}.", entries.size(),
                strerror(errno));
  return {};
}

Status Vm::ioeventfd(const IoEvent& event, int fd, uint32_t flags) {
  kvm_ioeventfd request{};
  request.addr = event.address;
  request.len = event.length;
  request.fd = fd;
  request.flags = flags;
  if (event.pio) request.flags |= KVM_IOEVENTFD_FLAG_PIO;
  if (event.match) {
    request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
    request.datamatch = *event.match;
  }
  if (::ioctl(fd_.get(), KVM_IOEVENTFD, &request) < 0)
    return fail("{} writes to {} {:#x} (KVM_IOEVENTFD, {} bytes) failed: {}.",
                flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? "untying an eventfd from" : "tying an eventfd to",
                event.pio ? "port" : "address", event.address, event.length, strerror(errno));
  return {};
}

Status Vm::add_ioeventfd(const IoEvent& event, int fd) {
  return ioeventfd(event, fd, 0);
}

Status Vm::remove_ioeventfd(const IoEvent& event, int fd) {
  return ioeventfd(event, fd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

}  // namespace nacre::kvm
