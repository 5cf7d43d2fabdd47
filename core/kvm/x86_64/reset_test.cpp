#include "core/kvm/x86_64/reset.hpp"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "core/kvm/flexible.hpp"
#include "core/kvm/test_machine.hpp"

namespace nacre::kvm {
namespace {

uint32_t lapic_register(const Vcpu& vcpu, size_t offset) {
  kvm_lapic_state lapic{};
  EXPECT_EQ(::ioctl(vcpu.fd(), KVM_GET_LAPIC, &lapic), 0);
  uint32_t value;
  std::memcpy(&value, lapic.regs + offset, sizeof value);
  return value;
}

uint64_t msr(const Vcpu& vcpu, uint32_t index) {
  Counted<kvm_msr_entry> msrs(1);
  msrs.entries()[0].index = index;
  EXPECT_EQ(::ioctl(vcpu.fd(), kGetMsrs, msrs.get()), 1);
  return msrs.entries()[0].data;
}

TEST(Reset, BootsWithLintAndMsrsSet) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  Vcpu* vcpu = machine.add();
  ASSERT_TRUE(vcpu);
  EXPECT_EQ(lapic_register(*vcpu, 0x350) & 0x700, 0x700u);
  EXPECT_EQ(lapic_register(*vcpu, 0x360) & 0x700, 0x400u);
  EXPECT_EQ(msr(*vcpu, 0x1a0) & 1, 1u);
  EXPECT_EQ(msr(*vcpu, 0xc0000082), 0u);
}

TEST(Reset, OnlyTheFirstVcpuIsRunnable) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  for (uint32_t index = 0; index < 2; ++index) {
    auto vcpu = Vcpu::create(*machine.kvm, *machine.vm, index);
    ASSERT_TRUE(vcpu) << vcpu.error().message;
    machine.check(boot_vcpu(**vcpu));
    kvm_mp_state state{};
    ASSERT_EQ(::ioctl((*vcpu)->fd(), KVM_GET_MP_STATE, &state), 0);
    EXPECT_EQ(state.mp_state, index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED);
  }
}

TEST(Reset, BringsTheRegistersBack) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  Vcpu* vcpu = machine.add();
  ASSERT_TRUE(vcpu);
  auto power_on = PowerOnState::capture(*machine.kvm, *vcpu);
  ASSERT_TRUE(power_on) << power_on.error().message;
  auto regs = vcpu->regs();
  auto sregs = vcpu->sregs();
  ASSERT_TRUE(regs && sregs);
  kvm_regs other = *regs;
  other.rax = 0x1234;
  other.rip = 0x5678;
  machine.check(vcpu->set_regs(other));
  kvm_sregs changed = *sregs;
  changed.ds.base = 0x4000;
  machine.check(vcpu->set_sregs(changed));
  machine.check(vcpu->set_runnable(false));
  Status restored = power_on->restore(*vcpu);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(vcpu->regs()->rax, regs->rax);
  EXPECT_EQ(vcpu->regs()->rip, regs->rip);
  EXPECT_EQ(vcpu->sregs()->ds.base, sregs->ds.base);
}

}  // namespace
}  // namespace nacre::kvm
