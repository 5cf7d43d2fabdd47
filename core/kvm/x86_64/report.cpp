// Why an x86 vCPU cannot go on, in words.
#include <cpuid.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/kvm/exit_handler.hpp"

namespace nacre::kvm {
namespace {

constexpr uint64_t kMaxInstruction = 15;

bool has_hardware_virtualisation() {
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 5))) return true;  // VMX
  return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & (1u << 2));   // SVM
}

// Reads up to 15 bytes at rip through the guest's own page tables; fewer where they end.
std::vector<uint8_t> fetch(const Vcpu& vcpu, uint64_t linear, const GuestReader& reader) {
  std::vector<uint8_t> bytes;
  while (reader && bytes.size() < kMaxInstruction) {
    kvm_translation page{};
    page.linear_address = linear + bytes.size();
    if (::ioctl(vcpu.fd(), KVM_TRANSLATE, &page) < 0 || !page.valid) break;
    uint64_t part = std::min<uint64_t>(kMaxInstruction - bytes.size(), 4096 - (page.linear_address & 4095));
    uint8_t buffer[kMaxInstruction];
    if (!reader(page.physical_address, buffer, part)) break;
    bytes.insert(bytes.end(), buffer, buffer + part);
  }
  return bytes;
}

void read_registers(const Vcpu& vcpu, const GuestReader& reader, Report& report) {
  auto regs = vcpu.regs();
  auto sregs = vcpu.sregs();
  if (!regs || !sregs) return;
  report.rip = regs->rip;
  constexpr uint64_t kProtected = 1, kLongModeActive = 1u << 10;
  const bool protected_mode = sregs->cr0 & kProtected;
  const bool long_mode = (sregs->efer & kLongModeActive) && sregs->cs.l;
  report.mode = long_mode ? 64 : protected_mode && sregs->cs.db ? 32 : 16;
  report.cpl = protected_mode ? sregs->ss.dpl : 0;
  report.bytes = fetch(vcpu, regs->rip + (long_mode ? 0 : sregs->cs.base), reader);
}

std::string hex(const std::vector<uint8_t>& bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{}{:02x}", text.empty() ? "" : " ", byte);
  return text.empty() ? "(unreadable)" : text;
}

std::string_view cause_of(const Report& report) {
  switch (report.kind) {
    case Report::Kind::FailEntry:
      return "the processor refused to enter the guest with its present state";
    case Report::Kind::UnknownExit:
      return "KVM ended the run for a reason that is not known here";
    case Report::Kind::RunFailed:
      return "KVM_RUN failed";
    default:
      return "KVM reports an internal error";
  }
}

std::string describe(const Report& report) {
  const std::string where = report.mode
                                ? fmt::format("vCPU {}, {}-bit mode, CPL {}", report.vcpu, report.mode, report.cpl)
                                : fmt::format("vCPU {}, registers unreadable", report.vcpu);
  if (report.kind == Report::Kind::Emulation)
    return fmt::format("this KVM cannot execute the guest's instruction {} at {:#x} ({}): {}", hex(report.bytes),
                       report.rip, where,
                       has_hardware_virtualisation()
                           ? "its emulator does not know it; the guest may have used it on a device's registers or be "
                             "running astray."
                           : "it has no hardware virtualisation (a software KVM), so run this guest on a host with VMX "
                             "or SVM.");
  const std::string code = report.kind == Report::Kind::RunFailed ? std::string(strerror(static_cast<int>(report.code)))
                                                                  : fmt::format("code {:#x}", report.code);
  return fmt::format("{} ({}) at {:#x}, instruction {} ({}); the vCPU cannot go on.", cause_of(report), code,
                     report.rip, hex(report.bytes), where);
}

}  // namespace

Report make_report(const Vcpu& vcpu, int run_errno, const GuestReader& reader) {
  const kvm_run& run = *vcpu.run();
  Report report;
  report.vcpu = vcpu.index();
  read_registers(vcpu, reader, report);
  if (run_errno != 0) {
    report.kind = Report::Kind::RunFailed;
    report.code = static_cast<uint64_t>(run_errno);
  } else if (run.exit_reason == KVM_EXIT_INTERNAL_ERROR) {
    report.code = run.internal.suberror;
    report.kind = report.code == KVM_INTERNAL_ERROR_EMULATION ? Report::Kind::Emulation : Report::Kind::InternalError;
    const auto& failure = run.emulation_failure;
    if (report.kind == Report::Kind::Emulation && failure.ndata >= 1 &&
        (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
      const uint64_t size = std::min<uint64_t>(failure.insn_size, kMaxInstruction);
      if (size > 0) report.bytes.assign(failure.insn_bytes, failure.insn_bytes + size);
    }
  } else if (run.exit_reason == KVM_EXIT_FAIL_ENTRY) {
    report.kind = Report::Kind::FailEntry;
    report.code = run.fail_entry.hardware_entry_failure_reason;
  } else {
    report.kind = Report::Kind::UnknownExit;
    report.code = run.exit_reason;
  }
  report.text = describe(report);
  return report;
}

}  // namespace nacre::kvm
