#include "core/sandbox/sandbox.hpp"

#include <asm/termbits.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/sandbox/verdict.hpp"
#include "gtest/gtest.h"

namespace nacre::sandbox {
namespace {

constexpr Kind kKinds[] = {Kind::Main, Kind::IoThread, Kind::Vcpu, Kind::Worker};

uint32_t asked(Kind kind, int32_t number, std::array<uint64_t, 6> arguments = {}, Options options = {}) {
  return verdict(filter_of(kind, options), {number, arguments});
}
bool allowed(Kind kind, int32_t number, std::array<uint64_t, 6> arguments = {}, Options options = {}) {
  return asked(kind, number, arguments, std::move(options)) == SECCOMP_RET_ALLOW;
}

TEST(Sandbox, EveryThreadCanReadWriteWaitAndEnd) {
  for (Kind kind : kKinds)
    for (int number : {SYS_read, SYS_write, SYS_futex, SYS_munmap, SYS_madvise, SYS_exit, SYS_exit_group,
                       SYS_rt_sigreturn, SYS_restart_syscall})
      EXPECT_TRUE(allowed(kind, number)) << name_of(number);
}

// A sanitizer's run time may do more.
#if !defined(NACRE_SANITIZED)
TEST(Sandbox, NobodyStartsProgramsOrProcessesOrLooksIntoOthers) {
  for (Kind kind : kKinds) {
    for (int number : {SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kill,
                       SYS_mount, SYS_unshare, SYS_setns, SYS_bpf, SYS_init_module, SYS_setuid, SYS_chroot, SYS_keyctl,
                       SYS_personality, SYS_userfaultfd, SYS_open_by_handle_at})
      EXPECT_EQ(asked(kind, number), SECCOMP_RET_TRAP) << name_of(number);
    EXPECT_EQ(asked(kind, SYS_clone, {SIGCHLD}), SECCOMP_RET_TRAP);
    EXPECT_EQ(allowed(kind, SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}),
              kind == Kind::Main || kind == Kind::IoThread);
    EXPECT_EQ(asked(kind, SYS_prctl, {PR_SET_DUMPABLE}), SECCOMP_RET_TRAP);
  }
}

TEST(Sandbox, NewCodeIsTheMainThreadsAndOnlyWherePluginsMayBeMapped) {
  for (int number : {SYS_mmap, SYS_mprotect})
    for (Kind kind : kKinds) {
      EXPECT_TRUE(allowed(kind, number, {0, 4096, PROT_READ | PROT_WRITE}));
      EXPECT_EQ(allowed(kind, number, {0, 4096, PROT_READ | PROT_EXEC}), kind == Kind::Main);
      EXPECT_FALSE(allowed(kind, number, {0, 4096, PROT_READ | PROT_EXEC}, {.new_code = false}));
    }
}

TEST(Sandbox, FilesByNameAreNotForVcpusAndWorkers) {
  for (Kind kind : kKinds) EXPECT_EQ(allowed(kind, SYS_openat), kind == Kind::Main || kind == Kind::IoThread);
}
#endif

TEST(Sandbox, FlagsThatNoFilterSeesAreRefusedInAWayThatTheLibraryKnows) {
  for (Kind kind : kKinds) EXPECT_EQ(asked(kind, SYS_clone3), SECCOMP_RET_ERRNO | ENOSYS);
}

TEST(Sandbox, IoctlsAreThoseOfTheList) {
  EXPECT_TRUE(allowed(Kind::Vcpu, SYS_ioctl, {3, KVM_RUN}));
  EXPECT_TRUE(allowed(Kind::Main, SYS_ioctl, {3, KVM_RUN}));  // under which the vCPUs' list lies
  EXPECT_FALSE(allowed(Kind::IoThread, SYS_ioctl, {3, TIOCSTI}));
  EXPECT_TRUE(allowed(Kind::Main, SYS_ioctl, {3, KVM_CREATE_VCPU}));
  EXPECT_FALSE(allowed(Kind::Vcpu, SYS_ioctl, {3, KVM_CREATE_VCPU}));
  // Interrupts that a guest's driver moves; the headers' number is wrong in C++ (core/kvm/flexible.hpp)
  EXPECT_TRUE(allowed(Kind::Vcpu, SYS_ioctl, {3, _IOW(KVMIO, 0x6a, uint64_t)}));
  EXPECT_FALSE(allowed(Kind::Worker, SYS_ioctl, {3, KVM_RUN}));
  for (Kind kind : kKinds) EXPECT_FALSE(allowed(kind, SYS_ioctl, {0, TIOCSTI}));
}

TEST(Sandbox, SocketsOfFewFamilies) {
  EXPECT_TRUE(allowed(Kind::Main, SYS_socket, {AF_UNIX}));
  EXPECT_FALSE(allowed(Kind::Main, SYS_socket, {AF_PACKET}));
  EXPECT_FALSE(allowed(Kind::Main, SYS_socket, {AF_ALG}));
  EXPECT_FALSE(allowed(Kind::Vcpu, SYS_socket, {AF_UNIX}));
}

TEST(Sandbox, SignalsGoToTheProcessItself) {
  for (Kind kind : kKinds) {
    EXPECT_TRUE(allowed(kind, SYS_tgkill, {static_cast<uint64_t>(::getpid()), 1, 9}));
    EXPECT_FALSE(allowed(kind, SYS_tgkill, {static_cast<uint64_t>(::getppid()), 1, 9}));
  }
}

TEST(Sandbox, WhatPluginsDeclareIsForAllButTheWorkers) {
  const Options options{.extra = {SYS_getsid, SYS_ioctl}};
  for (Kind kind : kKinds) {
    EXPECT_FALSE(allowed(kind, SYS_getsid));
    EXPECT_EQ(allowed(kind, SYS_getsid, {}, options), kind != Kind::Worker);
    EXPECT_EQ(allowed(kind, SYS_ioctl, {0, TIOCSTI}, options), kind != Kind::Worker);
    EXPECT_TRUE(allowed(kind, SYS_read, {}, options));
    EXPECT_FALSE(allowed(kind, SYS_acct, {}, options));
  }
}

#if defined(__x86_64__)
TEST(Sandbox, CallsOfOtherArchitecturesEndTheProcess) {
  constexpr int32_t kX32 = 0x40000000;
  for (Kind kind : kKinds) EXPECT_EQ(asked(kind, kX32 | SYS_read), SECCOMP_RET_KILL_PROCESS);
}
#endif

TEST(Sandbox, NamesAndNumbers) {
  EXPECT_EQ(number_of("read"), SYS_read);
  EXPECT_EQ(number_of("getsid"), SYS_getsid);
  EXPECT_STREQ(name_of(SYS_io_uring_enter), "io_uring_enter");
  EXPECT_EQ(number_of("reed"), -1);
  EXPECT_EQ(number_of(""), -1);
  EXPECT_STREQ(name_of(-1), "");
  EXPECT_STREQ(name_of(1 << 20), "");
}

TEST(Sandbox, NothingIsRefusedBeforeItIsOn) {
  EXPECT_FALSE(confined());
  EXPECT_TRUE(allows(SYS_execve));
  narrow(Kind::Vcpu);
  EXPECT_EQ(::getsid(0), ::getsid(::getpid()));
}

}  // namespace
}  // namespace nacre::sandbox
