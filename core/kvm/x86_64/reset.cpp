#include "core/kvm/x86_64/reset.hpp"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "core/kvm/flexible.hpp"

namespace nacre::kvm {
namespace {

// Intel SDM volume 4, §2.1; AMD APM volume 2, appendix A.
enum Msr : uint32_t {
  kTsc = 0x10,
  kSysenterCs = 0x174,
  kSysenterEsp = 0x175,
  kSysenterEip = 0x176,
  kMiscEnable = 0x1a0,
  kMtrrDefType = 0x2ff,
  kVmxFirst = 0x480,
  kVmxLast = 0x493,
  kStar = 0xc0000081,
  kLstar = 0xc0000082,
  kCstar = 0xc0000083,
  kSyscallMask = 0xc0000084,
  kKernelGsBase = 0xc0000102,
};
constexpr uint64_t kFastStrings = 1;

constexpr kvm_msr_entry kBootMsrs[] = {
    {kSysenterCs, 0, 0}, {kSysenterEsp, 0, 0}, {kSysenterEip, 0, 0},           {kStar, 0, 0},
    {kLstar, 0, 0},      {kCstar, 0, 0},       {kSyscallMask, 0, 0},           {kKernelGsBase, 0, 0},
    {kTsc, 0, 0},        {kMtrrDefType, 0, 0}, {kMiscEnable, 0, kFastStrings},
};

// Gets or sets a run of MSRs; returns how many it did before the first that KVM refuses, or -1.
int transfer_msrs(const Vcpu& vcpu, unsigned long request, std::span<kvm_msr_entry> entries) {
  Counted<kvm_msr_entry> msrs(entries.size());
  std::copy(entries.begin(), entries.end(), msrs.entries());
  int done = ::ioctl(vcpu.fd(), request, msrs.get());
  if (done > 0) std::copy_n(msrs.entries(), done, entries.begin());
  return done;
}

Status set_boot_msrs(Vcpu& vcpu) {
  std::vector<kvm_msr_entry> entries(std::begin(kBootMsrs), std::end(kBootMsrs));
  int done = transfer_msrs(vcpu, kSetMsrs, entries);
  if (done < 0) return ioctl_error("setting the boot MSRs of a vCPU (KVM_SET_MSRS)");
  if (static_cast<size_t>(done) < entries.size())
    return fail("setting the boot MSRs of vCPU {} failed: KVM refuses MSR {:#x}.", vcpu.index(),
                entries[static_cast<size_t>(done)].index);
  return {};
}

// Intel SDM volume 3, §11.5.1: how the 8259 and the NMI line reach the processor.
Status set_lint(Vcpu& vcpu) {
  kvm_lapic_state lapic{};
  if (::ioctl(vcpu.fd(), KVM_GET_LAPIC, &lapic) < 0) {
    if (errno == EINVAL) return {};  // the kernel has no local APIC for it
    return ioctl_error("reading the local APIC of a vCPU (KVM_GET_LAPIC)");
  }
  constexpr size_t kLint0 = 0x350, kLint1 = 0x360;
  constexpr uint32_t kDeliveryMode = 7u << 8, kNmi = 4u << 8, kExtInt = 7u << 8;
  auto deliver = [&lapic](size_t offset, uint32_t mode) {
    uint32_t value;
    std::memcpy(&value, lapic.regs + offset, sizeof value);
    value = (value & ~kDeliveryMode) | mode;
    std::memcpy(lapic.regs + offset, &value, sizeof value);
  };
  deliver(kLint0, kExtInt);
  deliver(kLint1, kNmi);
  if (::ioctl(vcpu.fd(), KVM_SET_LAPIC, &lapic) < 0)
    return ioctl_error("setting the local APIC of a vCPU (KVM_SET_LAPIC)");
  return {};
}

kvm_segment to_kvm(const nacre_x86_segment& segment) {
  kvm_segment out{};
  out.base = segment.base;
  out.limit = segment.limit;
  out.selector = segment.selector;
  out.type = segment.access & 15;
  out.s = segment.access >> 4 & 1;
  out.dpl = segment.access >> 5 & 3;
  out.present = segment.access >> 7 & 1;
  out.avl = segment.access >> 8 & 1;
  out.l = segment.access >> 9 & 1;
  out.db = segment.access >> 10 & 1;
  out.g = segment.access >> 11 & 1;
  out.unusable = !out.present;
  return out;
}

}  // namespace

Result<PowerOnState> PowerOnState::capture(const Kvm& kvm, const Vcpu& vcpu) {
  PowerOnState state;
  auto regs = vcpu.regs();
  if (!regs) return regs.error();
  auto sregs = vcpu.sregs();
  if (!sregs) return sregs.error();
  state.regs_ = *regs;
  state.sregs_ = *sregs;
  const int fd = vcpu.fd();
  if (::ioctl(fd, KVM_GET_DEBUGREGS, &state.debugregs_) < 0) return ioctl_error("KVM_GET_DEBUGREGS");
  if (::ioctl(fd, KVM_GET_VCPU_EVENTS, &state.events_) < 0) return ioctl_error("KVM_GET_VCPU_EVENTS");
  if (::ioctl(fd, KVM_GET_FPU, &state.fpu_) < 0) return ioctl_error("KVM_GET_FPU");
  if (kvm.check_extension(KVM_CAP_XSAVE)) {
    state.xsave_.resize(sizeof(XsaveArea) / sizeof(uint32_t));
    if (::ioctl(fd, kGetXsave, state.xsave_.data()) < 0) return ioctl_error("KVM_GET_XSAVE");
  }
  if (kvm.check_extension(KVM_CAP_XCRS)) {
    state.xcrs_.emplace();
    if (::ioctl(fd, KVM_GET_XCRS, &*state.xcrs_) < 0) return ioctl_error("KVM_GET_XCRS");
  }
  state.has_lapic_ = ::ioctl(fd, KVM_GET_LAPIC, &state.lapic_) == 0;

  uint32_t count = 0;
  ::ioctl(kvm.fd(), kGetMsrIndexList, &count);  // fails with E2BIG and says how many there are
  std::vector<uint32_t> list(1 + count);        // the count, then the indices
  list[0] = count;
  if (::ioctl(kvm.fd(), kGetMsrIndexList, list.data()) < 0) return ioctl_error("KVM_GET_MSR_INDEX_LIST");
  std::vector<kvm_msr_entry> entries;
  for (size_t i = 1; i < list.size(); ++i)
    if (list[i] < kVmxFirst || list[i] > kVmxLast) entries.push_back({list[i], 0, 0});
  // What the list names and this vCPU has not got is left out.
  for (std::span<kvm_msr_entry> rest(entries); !rest.empty();) {
    int done = transfer_msrs(vcpu, kGetMsrs, rest);
    if (done < 0) return ioctl_error("KVM_GET_MSRS");
    state.msrs_.insert(state.msrs_.end(), rest.begin(), rest.begin() + done);
    rest = rest.subspan(std::min(rest.size(), static_cast<size_t>(done) + 1));
  }
  // The counters of vCPUs captured at different times shall begin alike. KVM takes values that are written within a
  // second as one set of counters, and a 0 (see kBootMsrs) as "like the others".
  for (kvm_msr_entry& entry : state.msrs_)
    if (entry.index == kTsc) entry.data = 1;
  return state;
}

Status PowerOnState::restore(Vcpu& vcpu, bool joining) const {
  const int fd = vcpu.fd();
  // MSRs first: some, like those of the paravirtual clock, point into memory that the next boot will use.
  std::vector<kvm_msr_entry> entries = msrs_;
  if (joining) std::erase_if(entries, [](const kvm_msr_entry& entry) { return entry.index == kTsc; });
  for (std::span<kvm_msr_entry> rest(entries); !rest.empty();) {
    int done = transfer_msrs(vcpu, kSetMsrs, rest);
    if (done < 0) return ioctl_error("resetting the MSRs of a vCPU (KVM_SET_MSRS)");
    // What can be read but not written keeps its value: the guest could not change it either.
    rest = rest.subspan(std::min(rest.size(), static_cast<size_t>(done) + 1));
  }
  if (Status set = vcpu.set_sregs(sregs_); !set) return set;
  if (Status set = vcpu.set_regs(regs_); !set) return set;
  if (::ioctl(fd, KVM_SET_FPU, &fpu_) < 0) return ioctl_error("resetting a vCPU (KVM_SET_FPU)");
  if (!xsave_.empty() && ::ioctl(fd, kSetXsave, xsave_.data()) < 0)
    return ioctl_error("resetting a vCPU (KVM_SET_XSAVE)");
  if (xcrs_ && ::ioctl(fd, KVM_SET_XCRS, &*xcrs_) < 0) return ioctl_error("resetting a vCPU (KVM_SET_XCRS)");
  if (::ioctl(fd, KVM_SET_DEBUGREGS, &debugregs_) < 0) return ioctl_error("resetting a vCPU (KVM_SET_DEBUGREGS)");
  if (has_lapic_ && ::ioctl(fd, KVM_SET_LAPIC, &lapic_) < 0) return ioctl_error("resetting a vCPU (KVM_SET_LAPIC)");
  if (::ioctl(fd, KVM_SET_VCPU_EVENTS, &events_) < 0) return ioctl_error("resetting a vCPU (KVM_SET_VCPU_EVENTS)");
  return boot_vcpu(vcpu);
}

Status boot_vcpu(Vcpu& vcpu) {
  if (Status set = set_boot_msrs(vcpu); !set) return set;
  if (Status set = set_lint(vcpu); !set) return set;
  return vcpu.set_runnable(vcpu.index() == 0);
}

Status set_state(Vcpu& vcpu, const nacre_x86_state& state) {
  if (state.size < sizeof state)
    return fail("the start state of vCPU {} has {} bytes, {} are needed: the machine was built with another SDK.",
                vcpu.index(), state.size, sizeof state);
  auto sregs = vcpu.sregs();
  if (!sregs) return sregs.error();
  sregs->cs = to_kvm(state.cs);
  sregs->ds = to_kvm(state.ds);
  sregs->es = to_kvm(state.es);
  sregs->fs = to_kvm(state.fs);
  sregs->gs = to_kvm(state.gs);
  sregs->ss = to_kvm(state.ss);
  sregs->tr = to_kvm(state.tr);
  sregs->ldt = to_kvm(state.ldt);
  sregs->gdt.base = state.gdt_base;
  sregs->gdt.limit = state.gdt_limit;
  sregs->idt.base = state.idt_base;
  sregs->idt.limit = state.idt_limit;
  sregs->cr0 = state.cr0;
  sregs->cr2 = 0;
  sregs->cr3 = state.cr3;
  sregs->cr4 = state.cr4;
  sregs->efer = state.efer;
  if (Status set = vcpu.set_sregs(*sregs); !set) return set;
  kvm_regs regs{};
  regs.rax = state.rax;
  regs.rbx = state.rbx;
  regs.rcx = state.rcx;
  regs.rdx = state.rdx;
  regs.rsi = state.rsi;
  regs.rdi = state.rdi;
  regs.rsp = state.rsp;
  regs.rbp = state.rbp;
  regs.rip = state.rip;
  regs.rflags = state.rflags;
  return vcpu.set_regs(regs);
}

}  // namespace nacre::kvm
