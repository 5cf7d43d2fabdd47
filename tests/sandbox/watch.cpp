// Shows which system calls each kind of Nacre's threads makes once the guest runs, those that its sandbox would refuse
// among them: for `derive` beside this file.
//
//   sandbox_watch LOG_PREFIX NACRE [ARGUMENT]...
//
// The VMM keeps this process's id. Every call of it and of its children is shown to a second process
// (seccomp_unotify(2)), which lets it go on, but for two: where the VMM puts a filter on a thread, it is told that this
// was done. So it runs without its sandbox and believes that it has it, and what would be refused is seen and happens.
// At the end of all processes, LOG_PREFIX.PID.log has a line `KIND CALL ARGUMENT COUNT VERDICT` for each call that was
// made.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "core/sandbox/verdict.hpp"

namespace {

using nacre::sandbox::Kind;

constexpr int kUnknown = 1 << 30;

struct Shared {
  std::atomic<int> listener{kUnknown};  // the descriptor, or minus errno
  std::atomic<bool> watching{false};
};

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The number behind "KEY:" in a thread's status.
int status_of(int thread, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stoi(line.substr(key.size() + 1));
  return 0;
}

class Watcher {
 public:
  Watcher(int listener, std::string program) : listener_(listener), program_(std::move(program)) {
    for (size_t kind = 0; kind < std::size(kWords); ++kind)
      filters_[kind] = nacre::sandbox::filter_of(static_cast<Kind>(kind), {});
  }

  void run() {
    for (;;) {
      pollfd waited{listener_, POLLIN, 0};
      if (::poll(&waited, 1, -1) < 0 && errno != EINTR) return;
      if (waited.revents & POLLIN) serve();
      if (waited.revents & (POLLHUP | POLLERR)) return;
    }
  }

  void print(FILE* to) const {
    for (const auto& [key, count] : seen_) {
      const auto& [kind, number, argument, refused] = key;
      std::fprintf(to, "%s %s %#lx %lu %s\n", kWords[kind], nacre::sandbox::name_of(number), argument, count,
                   refused ? "REFUSED" : "allowed");
    }
  }

 private:
  static constexpr const char* kWords[] = {"own", "main", "iothread", "vcpu", "worker"};
  struct Thread {
    int process = 0;
    Kind kind = Kind::Own;
  };

  void serve() {
    seccomp_notif shown;
    std::memset(&shown, 0, sizeof shown);
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &shown) != 0) return;
    seccomp_notif_resp answer{};
    answer.id = shown.id;
    if (!look(static_cast<int>(shown.pid), shown.data)) answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);  // its thread may have died meanwhile
  }

  // True: the call is not made, and succeeds.
  bool look(int id, const seccomp_data& data) {
    auto [at, fresh] = threads_.try_emplace(id);
    if (fresh) at->second.process = status_of(id, "Tgid");
    Thread& thread = at->second;
    const auto confined = confined_.find(thread.process);
    if (data.nr == SYS_seccomp && data.args[0] == SECCOMP_SET_MODE_FILTER && is_ours(thread.process)) {
      const bool first = (data.args[1] & SECCOMP_FILTER_FLAG_TSYNC) != 0;
      if (!first && confined != confined_.end()) count(thread, data);
      if (first) confined_[thread.process] = true;
      thread.kind = first ? Kind::Main : kind_of(id);
      return true;
    }
    if (confined != confined_.end() && is_ours(thread.process)) count(thread, data);
    if (data.nr == SYS_exit) threads_.erase(id);
    if (data.nr == SYS_execve) confined_.erase(thread.process);
    return false;
  }

  bool is_ours(int process) const {
    char path[4096];
    const ssize_t n = ::readlink(("/proc/" + std::to_string(process) + "/exe").c_str(), path, sizeof path);
    return n > 0 && std::string(path, static_cast<size_t>(n)) == program_;
  }

  static Kind kind_of(int thread) {
    const std::string name = first_line("/proc/" + std::to_string(thread) + "/comm");
    if (name.rfind("CPU ", 0) == 0) return Kind::Vcpu;
    return name == "block worker" ? Kind::Worker : Kind::IoThread;
  }

  void count(const Thread& thread, const seccomp_data& data) {
    nacre::sandbox::Call call{data.nr, {}};
    std::memcpy(call.arguments.data(), data.args, sizeof data.args);
    if (data.nr == SYS_tgkill)
      call.arguments[0] = static_cast<uint64_t>(data.args[0]) == static_cast<uint64_t>(thread.process)
                              ? static_cast<uint64_t>(::getpid())
                              : 0;
    const uint32_t said = nacre::sandbox::verdict(filters_[static_cast<size_t>(thread.kind)], call);
    const bool fine = said == SECCOMP_RET_ALLOW || (said & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
    ++seen_[{static_cast<int>(thread.kind), data.nr, telling(data), !fine}];
  }

  // The argument by which calls of that number differ.
  static unsigned long telling(const seccomp_data& data) {
    switch (data.nr) {
      case SYS_ioctl:
        return data.args[1];
      case SYS_socket:
      case SYS_socketpair:
      case SYS_prctl:
        return data.args[0];
      case SYS_mmap:
      case SYS_mprotect:
        return data.args[2] & PROT_EXEC;
      case SYS_clone:
        return data.args[0] & CLONE_THREAD;
      default:
        return 0;
    }
  }

  int listener_;
  std::string program_;
  std::vector<nacre::sandbox::Step> filters_[std::size(kWords)];
  std::map<int, Thread> threads_;
  std::map<int, bool> confined_;
  std::map<std::tuple<int, int, unsigned long, bool>, unsigned long> seen_;
};

// Everything but what runs the guest, which is known and hot.
int show_all_calls() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
  };
  const sock_fprog filter{std::size(program), program};
  const long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

struct Start {
  Shared* shared;
  const char* prefix;
  const char* program;
  int vmm;
};

int watch(void* opaque) {
  const Start& start = *static_cast<const Start*>(opaque);
  int listener;
  while ((listener = start.shared->listener) == kUnknown) ::sched_yield();
  if (listener < 0) return 1;
  // The table of descriptors is the VMM's until here, which must not see it change afterwards.
  ::unshare(CLONE_FILES);
  ::setsid();
  for (int fd = 0; fd < 1024; ++fd)
    if (fd != listener) ::close(fd);
  const std::string name = std::string(start.prefix) + "." + std::to_string(start.vmm);
  FILE* to = std::fopen((name + ".part").c_str(), "w");
  if (!to) return 1;
  char program[4096] = {};
  if (!::realpath(start.program, program)) return 1;
  start.shared->watching = true;
  Watcher watcher(listener, program);
  watcher.run();
  watcher.print(to);
  std::fclose(to);
  return ::rename((name + ".part").c_str(), (name + ".log").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* shared = new (page) Shared;
  Start start{shared, argv[1], argv[2], ::getpid()};
  constexpr size_t kStack = 1 << 20;
  void* stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (::clone(watch, static_cast<char*>(stack) + kStack, CLONE_FILES | SIGCHLD, &start) < 0) return 2;
  const int listener = show_all_calls();
  shared->listener = listener;
  if (listener < 0) {
    std::fprintf(stderr, "sandbox_watch: calls cannot be shown here: %s (it is for root)\n", std::strerror(-listener));
    return 2;
  }
  while (!shared->watching) continue;  // without a call: nobody would answer it
  ::execv(argv[2], argv + 2);
  std::fprintf(stderr, "sandbox_watch: '%s' cannot be run: %s\n", argv[2], std::strerror(errno));
  return 2;
}
