#include "core/sandbox/sandbox.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <iterator>
#include <span>

#include "core/base/log.hpp"
#include "core/sandbox/programs.hpp"

namespace nacre::sandbox {
namespace {

#include "core/sandbox/filters.inc"

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

std::atomic<bool> g_confined{false};
Options g_options;  // from confine() on
constinit thread_local Kind t_kind = Kind::Own;

std::span<const sock_filter> list_of(Kind kind, bool new_code) {
  switch (kind) {
    case Kind::IoThread:
      return kIoThread;
    case Kind::Vcpu:
      return kVcpu;
    case Kind::Worker:
      return kWorker;
    default:
      return new_code ? std::span<const sock_filter>(kMainWithCode) : kMain;
  }
}

// The calls of plugins stand before the list, each with its own way out, then the list itself.
std::vector<sock_filter> program_of(Kind kind, const Options& options) {
  std::vector<sock_filter> program;
  if (!options.extra.empty() && kind != Kind::Worker) {
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    for (uint32_t number : options.extra) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
  }
  const auto list = list_of(kind, options.new_code);
  program.insert(program.end(), list.begin(), list.end());
  for (sock_filter& step : program)
    if (step.code == (BPF_JMP | BPF_JEQ | BPF_K) && step.k == kSelf) step.k = static_cast<uint32_t>(::getpid());
  return program;
}

// 0, or errno, or with -1 that another thread has a filter that this one has not.
int put_on(Kind kind, unsigned flags) {
  std::vector<sock_filter> program = program_of(kind, g_options);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  const long done = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  return done == 0 ? 0 : done > 0 ? -1 : errno;
}

// A signal that is blocked cannot say what was refused: the kernel then ends the process without a word.
void hear_refusals() {
  sigset_t refusal;
  sigemptyset(&refusal);
  sigaddset(&refusal, SIGSYS);
  ::pthread_sigmask(SIG_UNBLOCK, &refusal, nullptr);
}

}  // namespace

Status confine(const Options& options) {
  g_options = options;
  ::tzset();  // reads a file, which the threads that log may not do later
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return fail("the sandbox cannot be set up: this kernel knows no PR_SET_NO_NEW_PRIVS: {}.", strerror(errno));
  hear_refusals();
  if (const int error = put_on(Kind::Main, SECCOMP_FILTER_FLAG_TSYNC))
    return fail("the sandbox cannot be set up: {}. -disable-seccomp does without it.",
                error < 0 ? std::string("a thread has filters of system calls of its own")
                          : fmt::format("the kernel takes no filter of system calls: {}", strerror(error)));
  t_kind = Kind::Main;
  g_confined.store(true, std::memory_order_release);
  return {};
}

bool confined() {
  return g_confined.load(std::memory_order_acquire);
}

void narrow(Kind kind) {
  if (t_kind != Kind::Own || !confined()) return;
  t_kind = kind;
  hear_refusals();
  if (const int error = put_on(kind, 0))
    log::warn("sandbox", "{} keeps the main thread's list of system calls: {}.", kind_words(), strerror(error));
}

const char* kind_words() {
  switch (t_kind) {
    case Kind::Main:
      return "the main thread";
    case Kind::IoThread:
      return "an iothread";
    case Kind::Vcpu:
      return "a vCPU's thread";
    case Kind::Worker:
      return "a block worker";
    default:
      return "a plugin's own thread";
  }
}

const char* name_of(int32_t number) {
  const char* name = kNames;
  for (int32_t at = 0; name != std::end(kNames) - 1; ++at, name += std::strlen(name) + 1)
    if (at == number) return name;
  return "";
}

int32_t number_of(const std::string& name) {
  int32_t number = 0;
  for (const char* at = kNames; at != std::end(kNames) - 1; at += std::strlen(at) + 1, ++number)
    if (name == at && !name.empty()) return number;
  return -1;
}

bool allows(uint32_t number) {
  if (!confined()) return true;
  return std::count(std::begin(kEverywhere), std::end(kEverywhere), number) != 0 ||
         std::count(g_options.extra.begin(), g_options.extra.end(), number) != 0;
}

std::vector<Step> filter_of(Kind kind, const Options& options) {
  std::vector<Step> steps;
  for (const sock_filter& step : program_of(kind, options)) steps.push_back({step.code, step.jt, step.jf, step.k});
  return steps;
}

}  // namespace nacre::sandbox
