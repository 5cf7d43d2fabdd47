// The CPUID that a guest sees: the host's as KVM supports it, with the machine's own topology.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <vector>

#include "core/base/result.hpp"
#include "core/kvm/kvm.hpp"
#include "core/kvm/vcpu.hpp"

namespace nacre::kvm {

// Numbers per next larger unit: threads of a core, cores of a die, dies of a socket. None is 0.
struct CpuTopology {
  uint32_t sockets = 1;
  uint32_t dies = 1;
  uint32_t cores = 1;
  uint32_t threads = 1;
};

// What KVM can give a guest (KVM_GET_SUPPORTED_CPUID), with the host's brand string.
Result<std::vector<kvm_cpuid_entry2>> supported_cpuid(const Kvm& kvm);

// The CPUID of vCPU `index`, whose APIC id is the same number. Pure. Topology is exact when the numbers are powers of
// two or there is one socket: APIC ids are dense, and the guest takes units from their bits (Intel SDM volume 3, §9.9).
std::vector<kvm_cpuid_entry2> guest_cpuid(std::vector<kvm_cpuid_entry2> supported, uint32_t index,
                                          const CpuTopology& topology, bool tsc_deadline_timer);

// Before the vCPU first runs.
Status set_cpuid(Vcpu& vcpu, const std::vector<kvm_cpuid_entry2>& entries);

}  // namespace nacre::kvm
