#include "core/sandbox/verdict.hpp"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>

#include <cstring>

namespace nacre::sandbox {

// The instructions that filters of libseccomp and our own have (Linux Documentation/networking/filter.rst); any other
// ends the process, as a filter that is not understood should.
uint32_t verdict(const std::vector<Step>& filter, const Call& call) {
  seccomp_data data{};
  data.nr = call.number;
#if defined(__x86_64__)
  data.arch = AUDIT_ARCH_X86_64;
#else
  data.arch = AUDIT_ARCH_AARCH64;
#endif
  std::memcpy(data.args, call.arguments.data(), sizeof data.args);
  uint32_t word = 0;
  for (size_t at = 0; at < filter.size(); ++at) {
    const Step& step = filter[at];
    const auto jump = [&](bool taken) { at += taken ? step.if_true : step.if_false; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (step.operand > sizeof data - sizeof word) return SECCOMP_RET_KILL_PROCESS;
        std::memcpy(&word, reinterpret_cast<const char*>(&data) + step.operand, sizeof word);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        word &= step.operand;
        break;
      case BPF_JMP | BPF_JA:
        at += step.operand;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump(word == step.operand);
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        jump(word > step.operand);
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump(word >= step.operand);
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        jump((word & step.operand) != 0);
        break;
      case BPF_RET | BPF_K:
        return step.operand;
      default:
        return SECCOMP_RET_KILL_PROCESS;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

}  // namespace nacre::sandbox
