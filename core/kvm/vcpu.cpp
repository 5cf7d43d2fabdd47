#include "core/kvm/vcpu.hpp"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace nacre::kvm {

Result<std::unique_ptr<Vcpu>> Vcpu::create(const Kvm& kvm, const Vm& vm, uint32_t index) {
  Result<std::unique_ptr<Vcpu>> vcpu = make(kvm, vm, index);
  if (!vcpu) return vcpu;
  if (Status mapped = (*vcpu)->map(kvm); !mapped) return mapped.error();
  return vcpu;
}

Result<std::unique_ptr<Vcpu>> Vcpu::make(const Kvm& kvm, const Vm& vm, uint32_t index) {
  std::unique_ptr<Vcpu> vcpu(new Vcpu);
  vcpu->index_ = index;
  vcpu->fd_ = Fd(::ioctl(vm.fd(), KVM_CREATE_VCPU, static_cast<unsigned long>(index)));
  if (!vcpu->fd_) {
    if (errno == EINVAL && index >= kvm.max_vcpus())
      return fail("cannot make vCPU {}: the KVM of this host has at most {} vCPUs in a machine.", index,
                  kvm.max_vcpus());
    return fail("making vCPU {} (KVM_CREATE_VCPU) failed: {}.", index, strerror(errno));
  }
  return vcpu;
}

Status Vcpu::map(const Kvm& kvm) {
  if (run_) return {};
  void* run = ::mmap(nullptr, kvm.run_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (run == MAP_FAILED) return fail("mapping the state of vCPU {} failed: {}.", index_, strerror(errno));
  run_ = static_cast<kvm_run*>(run);
  run_size_ = kvm.run_size();
  return {};
}

Vcpu::~Vcpu() {
  if (run_) ::munmap(run_, run_size_);
}

Result<kvm_regs> Vcpu::regs() const {
  kvm_regs regs{};
  if (::ioctl(fd_.get(), KVM_GET_REGS, &regs) < 0) return ioctl_error("reading the registers of a vCPU (KVM_GET_REGS)");
  return regs;
}

Result<kvm_sregs> Vcpu::sregs() const {
  kvm_sregs sregs{};
  if (::ioctl(fd_.get(), KVM_GET_SREGS, &sregs) < 0)
    return ioctl_error("reading the system registers of a vCPU (KVM_GET_SREGS)");
  return sregs;
}

Result<uint64_t> Vcpu::one_reg(uint64_t id) const {
  const uint64_t size = uint64_t{1} << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
  uint64_t value = 0;
  if (size > sizeof value) return fail("register {:#x} has {} bytes; at most {} can be shown.", id, size, sizeof value);
  kvm_one_reg reg{.id = id, .addr = reinterpret_cast<uintptr_t>(&value)};
  if (::ioctl(fd_.get(), KVM_GET_ONE_REG, &reg) < 0)
    return fail("this host's KVM has no register {:#x} to show (KVM_GET_ONE_REG: {}).", id, strerror(errno));
  return value;
}

Status Vcpu::set_regs(const kvm_regs& regs) {
  if (::ioctl(fd_.get(), KVM_SET_REGS, &regs) < 0) return ioctl_error("setting the registers of a vCPU (KVM_SET_REGS)");
  return {};
}

Status Vcpu::set_sregs(const kvm_sregs& sregs) {
  if (::ioctl(fd_.get(), KVM_SET_SREGS, &sregs) < 0)
    return ioctl_error("setting the system registers of a vCPU (KVM_SET_SREGS)");
  return {};
}

Status Vcpu::set_runnable(bool runnable) {
  kvm_mp_state state{};
  state.mp_state = runnable ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
  if (::ioctl(fd_.get(), KVM_SET_MP_STATE, &state) < 0)
    return ioctl_error("setting whether a vCPU may run (KVM_SET_MP_STATE)");
  return {};
}

}  // namespace nacre::kvm
