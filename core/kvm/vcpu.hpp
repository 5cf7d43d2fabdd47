// One virtual CPU of KVM: its descriptor and its kvm_run mapping.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <memory>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/kvm/vm.hpp"

namespace nacre::kvm {

// Used by its own thread, or by the main thread while that is parked.
class Vcpu {
 public:
  // `index` is also its APIC id. Both of the following in one.
  static Result<std::unique_ptr<Vcpu>> create(const Kvm& kvm, const Vm& vm, uint32_t index);
  // KVM makes one of each index and takes none back: what is made must be kept, whatever fails afterwards.
  static Result<std::unique_ptr<Vcpu>> make(const Kvm& kvm, const Vm& vm, uint32_t index);
  // Once, before all else; again where it has failed.
  Status map(const Kvm& kvm);
  ~Vcpu();
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  uint32_t index() const { return index_; }
  int fd() const { return fd_.get(); }
  kvm_run* run() const { return run_; }

  Result<kvm_regs> regs() const;
  Result<kvm_sregs> sregs() const;
  // A register of at most 64 bits by the number that KVM gives it (KVM_GET_ONE_REG). Which ones there are is the host
  // kernel's affair: many on Arm; on x86 none before Linux 6.18.
  Result<uint64_t> one_reg(uint64_t id) const;
  Status set_regs(const kvm_regs& regs);
  Status set_sregs(const kvm_sregs& sregs);
  // Runnable, or waiting for INIT and SIPI.
  Status set_runnable(bool runnable);

 private:
  Vcpu() = default;

  uint32_t index_ = 0;
  Fd fd_;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;
};

}  // namespace nacre::kvm
