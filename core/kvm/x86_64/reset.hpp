// The state of an x86 vCPU at power-on and at reset.
#pragma once

#include <linux/kvm.h>
#include <nacre/abi/vcpu.h>

#include <optional>
#include <vector>

#include "core/base/result.hpp"
#include "core/kvm/vcpu.hpp"

namespace nacre::kvm {

// Remembers a vCPU as KVM made it, and brings it back there.
class PowerOnState {
 public:
  // When CPUID has been set and the vCPU has not run.
  static Result<PowerOnState> capture(const Kvm& kvm, const Vcpu& vcpu);
  // All registers, MSRs and the local APIC, then boot_vcpu(). The vCPU is parked. `joining`: others run, and its time
  // stamp counter goes with theirs; else it begins anew, as those of all others that are restored within a second.
  Status restore(Vcpu& vcpu, bool joining = false) const;

 private:
  kvm_regs regs_{};
  kvm_sregs sregs_{};
  kvm_debugregs debugregs_{};
  kvm_vcpu_events events_{};
  kvm_lapic_state lapic_{};
  std::vector<uint32_t> xsave_;  // a kvm_xsave; empty when KVM has none
  std::optional<kvm_xcrs> xcrs_;
  kvm_fpu fpu_{};
  bool has_lapic_ = false;
  std::vector<kvm_msr_entry> msrs_;
};

// Sets what a boot begins with: the boot MSRs, LINT0 = ExtINT and LINT1 = NMI of the local APIC (if the kernel has it),
// vCPU 0 runnable, the others waiting for INIT and SIPI.
Status boot_vcpu(Vcpu& vcpu);

// Sets the registers in which a machine wants its vCPU to begin. Fails when the state is smaller than this version's.
Status set_state(Vcpu& vcpu, const nacre_x86_state& state);

}  // namespace nacre::kvm
