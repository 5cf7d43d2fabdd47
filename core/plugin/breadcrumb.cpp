#include "core/plugin/breadcrumb.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "core/base/log.hpp"
#include "core/sandbox/sandbox.hpp"

namespace nacre {
namespace crash {

constinit thread_local Place place;

namespace {

constexpr size_t kMaxModules = 256;
constexpr int kBySeccomp = 1;  // SYS_SECCOMP of <asm/siginfo.h>, which <signal.h> keeps out
Module modules[kMaxModules];
// Published after the entry is complete: a handler on any thread reads only complete ones.
std::atomic<size_t> n_modules{0};

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
struct sigaction earlier[sizeof kSignals / sizeof *kSignals];
std::terminate_handler earlier_terminate = nullptr;
void (*last_words)() = nullptr;
std::atomic<bool> reported{false};

constexpr size_t kStackSize = 64 << 10;

// A line put together without memory from the heap, which the crash may have hit.
class Line {
 public:
  Line& operator<<(const char* text) {
    while (text && *text && length_ < sizeof text_ - 1) text_[length_++] = *text++;
    return *this;
  }
  Line& hex(uintptr_t number) {
    char digits[2 * sizeof number + 1];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = "0123456789abcdef"[number & 15];
    while ((number >>= 4) != 0);
    return *this << "0x" << digits + at;
  }
  Line& decimal(unsigned number) {
    char digits[16];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) != 0);
    return *this << digits + at;
  }
  void write() {
    text_[length_++] = '\n';
    ssize_t written = ::write(STDERR_FILENO, text_, length_);
    // A daemon has no standard error.
    if (log::descriptor() != STDERR_FILENO) written = ::write(log::descriptor(), text_, length_);
    (void)written;  // there is nobody left to tell
  }

 private:
  char text_[1024];
  size_t length_ = 0;
};

Line& where(Line& line) {
  line << " in " << (place.function ? place.function : "a call");
  if (place.instance && *place.instance) line << " of device '" << place.instance << "'";
  return line;
}

const char* signal_name(int number) {
  switch (number) {
    case SIGSEGV:
      return "SIGSEGV";
    case SIGBUS:
      return "SIGBUS";
    case SIGILL:
      return "SIGILL";
    default:
      return "SIGFPE";
  }
}

uintptr_t program_counter(const void* context) {
  const auto* user = static_cast<const ucontext_t*>(context);
#if defined(__x86_64__)
  return static_cast<uintptr_t>(user->uc_mcontext.gregs[REG_RIP]);
#else
  return static_cast<uintptr_t>(user->uc_mcontext.pc);
#endif
}

// Code is read from its file when it is first needed: whoever writes into that file changes it under the process.
bool was_overwritten(const Module& module) {
  struct stat now;
  return fstat(module.fd, &now) == 0 && (now.st_size != module.size || now.st_mtim.tv_sec != module.modified.tv_sec ||
                                         now.st_mtim.tv_nsec != module.modified.tv_nsec);
}

const Module* module_at(uintptr_t address) {
  for (size_t i = 0; i < n_modules.load(std::memory_order_acquire); ++i)
    if (address >= modules[i].start && address < modules[i].end) return &modules[i];
  return nullptr;
}

void on_signal(int number, siginfo_t* info, void* context) {
  int saved = errno;
  if (!reported.exchange(true)) {
    uintptr_t pc = program_counter(context);
    Line line;
    if (place.plugin) {
      line << "fatal: plugin '" << place.plugin << "' crashed";
      where(line);
    } else {
      line << "fatal: the VMM crashed outside of every plugin";
    }
    line << " (" << signal_name(number) << " at ";
    if (const Module* module = module_at(pc))
      line << "offset ", line.hex(pc - module->start) << " of " << module->file;
    else
      line << "address ", line.hex(pc);
    const auto reached = reinterpret_cast<uintptr_t>(info->si_addr);
    if (const Module* module = module_at(reached); module && reached != pc)
      line << ", reaching for offset ", line.hex(reached - module->start) << " of " << module->file;
    line << ").";
    for (size_t i = 0; i < n_modules.load(std::memory_order_acquire); ++i)
      if (was_overwritten(modules[i]))
        line << " The file " << modules[i].file
             << " was overwritten while its code was in use: install plugins by rename, or pass -plugin-seal.";
    line.write();
    if (last_words) last_words();
  }
  // Back to the instruction, which faults again into the earlier handler, or into the default one and its core dump.
  for (size_t i = 0; i < sizeof kSignals / sizeof *kSignals; ++i)
    if (kSignals[i] == number) sigaction(number, &earlier[i], nullptr);
  errno = saved;
}

// Of the system call that was refused: what an ioctl() was asked for.
uintptr_t second_argument(const void* context) {
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return static_cast<uintptr_t>(machine.gregs[REG_RSI]);
#else
  return machine.regs[1];
#endif
}

// The call was not made. Nothing goes on behind it: the thread may be in the hands of whoever owns the guest. A signal
// that somebody has sent, which kill() can, says nothing about any call.
void on_refusal(int, siginfo_t* info, void* context) {
  if (info->si_code != kBySeccomp) return;
  if (!reported.exchange(true)) {
    const char* name = sandbox::name_of(info->si_syscall);
    Line line;
    line << "fatal: the sandbox refuses the system call ";
    if (*name) line << "'" << name << "' (";
    line.decimal(static_cast<unsigned>(info->si_syscall)) << (*name ? ")" : "");
    if (info->si_syscall == SYS_ioctl) line << ", request ", line.hex(second_argument(context)) << ",";
    line << " to " << sandbox::kind_words();
    if (place.plugin) where(line << ", which was in plugin '" << place.plugin << "',");
    line << "; nacre ends here. Please report it; -disable-seccomp does without the sandbox.";
    line.write();
    if (last_words) last_words();
  }
  ::_exit(kRefusedStatus);
}

[[noreturn]] void on_terminate() {
  if (place.plugin && !reported.exchange(true)) {
    Line line;
    line << "fatal: plugin '" << place.plugin << "' let an exception escape";
    where(line);
    if (std::exception_ptr thrown = std::current_exception()) {
      try {
        std::rethrow_exception(thrown);
      } catch (const std::exception& error) {
        line << ": \"" << error.what() << "\"";
      } catch (...) {
        line << ": something that is not an exception";
      }
    }
    line << ".";
    line.write();
  }
  if (last_words) last_words();
  if (earlier_terminate) earlier_terminate();
  std::abort();
}

}  // namespace

void install_handlers(void (*before_death)()) {
  last_words = before_death;
  prepare_thread();
  earlier_terminate = std::set_terminate(on_terminate);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof kSignals / sizeof *kSignals; ++i) sigaction(kSignals[i], &action, &earlier[i]);
  action.sa_sigaction = on_refusal;
  action.sa_flags |= SA_RESTART;
  sigaction(SIGSYS, &action, nullptr);
}

bool prepare_thread() {
  // Given back when the thread ends.
  thread_local struct Stack {
    void* memory = nullptr;
    ~Stack() {
      if (!memory) return;
      stack_t off{};
      off.ss_flags = SS_DISABLE;
      sigaltstack(&off, nullptr);
      munmap(memory, kStackSize);
    }
  } own;
  stack_t current{};
  // Sanitizers give threads a stack of their own; it is as good.
  if (sigaltstack(nullptr, &current) == 0 && !(current.ss_flags & SS_DISABLE)) return true;
  void* memory =
      mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return false;
  own.memory = memory;
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = kStackSize;
  return sigaltstack(&stack, nullptr) == 0;
}

void add_module(const Module& module) {
  size_t at = n_modules.load(std::memory_order_relaxed);
  if (at == kMaxModules) return;
  modules[at] = module;
  n_modules.store(at + 1, std::memory_order_release);
}

}  // namespace crash

std::string exception_text(const std::string& plugin, const char* function, const std::string& what,
                           const std::string& device, const char* outcome) {
  return fmt::format("plugin '{}' threw in {}(): \"{}\". Device '{}' {}; the guest goes on.", plugin, function,
                     what.empty() ? "(nothing)" : what, device, outcome);
}

}  // namespace nacre
