#include "blocking_calls.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>

#include "core/base/fd.hpp"
#include "subject.hpp"

namespace nacre::check {
namespace {

using Arguments = __u64[6];

bool always(const Arguments&) {
  return true;
}
bool by_descriptor(const Arguments& arguments) {
  return !(::fcntl(static_cast<int>(arguments[0]), F_GETFL) & O_NONBLOCK);
}
bool by_descriptor_and_flags(const Arguments& arguments) {
  return by_descriptor(arguments) && !(arguments[3] & MSG_DONTWAIT);
}
bool by_descriptor_and_message_flags(const Arguments& arguments) {
  return by_descriptor(arguments) && !(arguments[2] & MSG_DONTWAIT);
}
// Milliseconds: 0 is a look.
[[maybe_unused]] bool by_third(const Arguments& arguments) {
  return static_cast<int>(arguments[2]) != 0;
}
bool by_fourth(const Arguments& arguments) {
  return static_cast<int>(arguments[3]) != 0;
}
// A time of this process's own memory, or NULL for ever.
bool by_time(__u64 pointer) {
  const auto* time = reinterpret_cast<const timespec*>(pointer);
  return !time || time->tv_sec != 0 || time->tv_nsec != 0;
}
bool by_third_time(const Arguments& arguments) {
  return by_time(arguments[2]);
}
bool by_fourth_time(const Arguments& arguments) {
  return by_time(arguments[3]);
}
bool by_fifth_time(const Arguments& arguments) {
  return by_time(arguments[4]);
}
bool by_futex(const Arguments& arguments) {
  const auto operation = static_cast<int>(arguments[1]) & FUTEX_CMD_MASK;
  return operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET || operation == FUTEX_LOCK_PI ||
         operation == FUTEX_WAIT_REQUEUE_PI;
}

struct Call {
  uint32_t number;
  const char* name;
  bool (*may_wait)(const Arguments& arguments);
};

// What has a waiting side, on any architecture and on those that have more.
constexpr Call kCalls[] = {
    {__NR_read, "read", by_descriptor},
    {__NR_pread64, "pread", by_descriptor},
    {__NR_readv, "readv", by_descriptor},
    {__NR_preadv, "preadv", by_descriptor},
    {__NR_recvfrom, "recvfrom", by_descriptor_and_flags},
    {__NR_recvmsg, "recvmsg", by_descriptor_and_message_flags},
    {__NR_accept, "accept", by_descriptor},
    {__NR_accept4, "accept4", by_descriptor},
    {__NR_connect, "connect", by_descriptor},
    {__NR_openat, "openat", always},
    {__NR_fsync, "fsync", always},
    {__NR_fdatasync, "fdatasync", always},
    {__NR_flock, "flock", always},
    {__NR_nanosleep, "nanosleep", always},
    {__NR_clock_nanosleep, "clock_nanosleep", always},
    {__NR_futex, "futex", by_futex},
    {__NR_ppoll, "ppoll", by_third_time},
    {__NR_pselect6, "pselect", by_fifth_time},
    {__NR_epoll_pwait, "epoll_pwait", by_fourth},
    {__NR_epoll_pwait2, "epoll_pwait2", by_fourth_time},
    {__NR_rt_sigtimedwait, "sigtimedwait", by_third_time},
    {__NR_rt_sigsuspend, "sigsuspend", always},
    {__NR_wait4, "wait4", always},
    {__NR_waitid, "waitid", always},
#ifdef __NR_open
    {__NR_open, "open", always},
    {__NR_poll, "poll", by_third},
    {__NR_select, "select", by_fifth_time},  // a timeval, which is as long
    {__NR_epoll_wait, "epoll_wait", by_fourth},
    {__NR_pause, "pause", always},
#endif
};

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// Puts the filter on the calling thread. Returns the descriptor on which its calls are shown, or -1 with errno.
int watch_thread() {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  size_t left = std::size(kCalls);
  for (const Call& call : kCalls)
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, static_cast<__u8>(left--), 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

std::string words_for(const Call& call, const Arguments& arguments) {
  const bool descriptor = call.may_wait == by_descriptor || call.may_wait == by_descriptor_and_flags ||
                          call.may_wait == by_descriptor_and_message_flags;
  return descriptor ? fmt::format("{}() of descriptor {}", call.name, static_cast<int>(arguments[0]))
                    : fmt::format("{}()", call.name);
}

// Looks at one call that is shown, and lets it go on.
void serve(int listener, const std::atomic<bool>& watched, std::vector<std::string>& found) {
  seccomp_notif shown;
  std::memset(&shown, 0, sizeof shown);
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &shown) != 0) return;
  for (const Call& call : kCalls)
    if (watched && static_cast<uint32_t>(shown.data.nr) == call.number && call.may_wait(shown.data.args))
      found.push_back(words_for(call, shown.data.args));
  seccomp_notif_resp answer{};
  answer.id = shown.id;
  answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  (void)::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

}  // namespace

std::vector<std::string> blocking_calls(const std::function<void()>& warm_up, const std::function<void()>& body) {
  std::atomic<int> listener{-1};  // the descriptor, or minus the error's number below -1
  std::atomic<bool> watched = false;
  std::thread thread([&] {
    const int fd = watch_thread();
    listener = fd < 0 ? -1 - errno : fd;
    if (fd < 0) return;
    warm_up();
    watched = true;
    body();
    watched = false;
  });
  // No lock and no condition: the thread's own calls about them would wait for us.
  while (listener == -1) std::this_thread::sleep_for(std::chrono::microseconds(100));
  const Fd shown(listener);
  std::vector<std::string> found;
  for (pollfd waited{shown.get(), POLLIN, 0}; shown;) {
    if (::poll(&waited, 1, -1) < 0 && errno != EINTR) break;
    if (waited.revents & POLLIN) serve(shown.get(), watched, found);
    if (waited.revents & POLLHUP) break;  // the thread has ended
  }
  thread.join();
  if (listener < 0)
    throw Cannot{fmt::format("system calls cannot be watched here: seccomp: {}.", std::strerror(-1 - listener))};
  return found;
}

}  // namespace nacre::check
