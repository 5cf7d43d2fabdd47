#include "core/backend/passt_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <vector>

#include "core/base/log.hpp"
#include "core/sandbox/sandbox.hpp"

namespace nacre {
namespace {

constexpr int kSocketInChild = 3;
constexpr int kEndTries = 100;  // of 5 ms each
constexpr int kDescriptors = 2;

constexpr int kPatienceMs = 5000;  // with the helper, which itself waits half a second for a passt that does not end

Fd g_helper;  // the socket to it
bool g_lost = false;

// What a child gets: an own socket, no input, no signal blocked, and no part in what the terminal sends us.
class SpawnSetting {
 public:
  SpawnSetting(int socket, int words) {
    ::posix_spawn_file_actions_init(&actions);
    // Where a descriptor stays where it is, dup2() takes its close-on-exec flag away all the same.
    ::posix_spawn_file_actions_adddup2(&actions, words, STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, socket, kSocketInChild);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  }
  ~SpawnSetting() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSetting(const SpawnSetting&) = delete;
  SpawnSetting& operator=(const SpawnSetting&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

int spawn(int socket, int words, pid_t& pid) {
  char program[] = "passt", foreground[] = "--foreground", quiet[] = "--quiet", fd[] = "--fd", number[] = "3";
  char* argv[] = {program, foreground, quiet, fd, number, nullptr};
  static_assert(kSocketInChild == 3);
  SpawnSetting setting(socket, words);
  return ::posix_spawnp(&pid, program, &setting.actions, &setting.attributes, argv, environ);
}

// Waits for a child that is about to end; false where it goes on.
bool ends_by_itself(pid_t pid) {
  for (int i = 0; i < kEndTries; ++i) {
    if (::waitpid(pid, nullptr, WNOHANG) != 0) return true;
    const timespec pause{0, 5'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return false;
}

class OwnChild : public PasstProcess {
 public:
  explicit OwnChild(pid_t pid) : pid_(pid), handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  ~OwnChild() override {
    if (ends_by_itself(pid_)) return;
    // By the handle, since the sandbox lets nobody send signals by number.
    ::syscall(SYS_pidfd_send_signal, handle_.get(), SIGKILL, nullptr, 0);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
  Fd handle_;
};

// Between this process and the helper, one message each way. A start comes with its two descriptors.
struct Request {
  pid_t end;  // the child to end; 0: start one
};
struct Answer {
  int error;
  pid_t pid;
};

bool send_with(int socket, const Request& request, const int* descriptors) {
  Request sent = request;
  iovec part{&sent, sizeof sent};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int) * kDescriptors)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors) {
    message.msg_control = room;
    message.msg_controllen = sizeof room;
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * kDescriptors);
    std::memcpy(CMSG_DATA(head), descriptors, sizeof(int) * kDescriptors);
  }
  ssize_t n;
  do n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == sizeof sent;
}

// False at the end of the other side. The descriptors are the caller's, -1 where none came.
bool receive_with(int socket, Request& request, int* descriptors) {
  iovec part{&request, sizeof request};
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof(int) * kDescriptors)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room;
  message.msg_controllen = sizeof room;
  std::fill_n(descriptors, kDescriptors, -1);
  ssize_t n;
  do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  const cmsghdr* head = n > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int) * kDescriptors))
    std::memcpy(descriptors, CMSG_DATA(head), sizeof(int) * kDescriptors);
  return n == sizeof request;
}

// Whatever it answers later is no answer to what is asked then: there is none any more. When it goes on, it ends.
Answer lost(const char* why) {
  if (!g_lost) log::error("net", "the helper process that starts passt {}; no other user network can be added.", why);
  g_lost = true;
  g_helper.close();
  return {EPIPE, 0};
}

Answer ask(const Request& request, const int* descriptors) {
  Answer answer{};
  if (g_lost || !send_with(g_helper.get(), request, descriptors)) return lost("has ended");
  pollfd waited{g_helper.get(), POLLIN, 0};
  int ready;
  do ready = ::poll(&waited, 1, kPatienceMs);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) return lost("does not answer");
  ssize_t n;
  do n = ::recv(g_helper.get(), &answer, sizeof answer, 0);
  while (n < 0 && errno == EINTR);
  return n == sizeof answer ? answer : lost("has ended");
}

class ChildOfHelper : public PasstProcess {
 public:
  explicit ChildOfHelper(pid_t pid) : pid_(pid) {}
  ~ChildOfHelper() override { ask({pid_}, nullptr); }

 private:
  pid_t pid_;
};

// The helper's whole life. It starts this one program and ends none but its own children.
[[noreturn]] void help(int socket, const Status& settled) {
  std::vector<pid_t> children;
  Request request{};
  int descriptors[kDescriptors];
  while (receive_with(socket, request, descriptors)) {
    Answer answer{0, 0};
    const auto child = std::find(children.begin(), children.end(), request.end);
    if (request.end == 0) {
      const Fd connection(descriptors[0]), words(descriptors[1]);
      answer.error = !settled || !connection || !words ? EPERM : spawn(connection.get(), words.get(), answer.pid);
      if (answer.error == 0) children.push_back(answer.pid);
    } else if (child != children.end()) {
      if (!ends_by_itself(*child)) {
        ::kill(*child, SIGKILL);
        ::waitpid(*child, nullptr, 0);
      }
      children.erase(child);
    }
    if (::send(socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer) break;
  }
  // They end by themselves, since their sockets' other ends went with the VMM.
  ::_exit(0);
}

}  // namespace

int PasstProcess::start(int socket, int words, std::unique_ptr<PasstProcess>& process) {
  if (!sandbox::confined()) {
    pid_t pid = -1;
    if (const int error = spawn(socket, words, pid)) return error;
    process = std::make_unique<OwnChild>(pid);
    return 0;
  }
  if (!g_helper) return g_lost ? EPIPE : EPERM;
  const int descriptors[kDescriptors] = {socket, words};
  const Answer answer = ask({0}, descriptors);
  if (answer.error == 0) process = std::make_unique<ChildOfHelper>(answer.pid);
  return answer.error;
}

Status make_passt_helper(const std::function<Status()>& settle) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return fail("there is no socket for a helper process: {}.", std::strerror(errno));
  Fd ours(pair[0]), theirs(pair[1]);
  const pid_t helper = ::fork();
  if (helper < 0) return fail("no helper process can be made: {}.", std::strerror(errno));
  if (helper > 0) {
    g_helper = std::move(ours);
    return {};
  }
  const Status settled = settle();
  // Nothing of the VMM's: who reads its output shall see its end.
  constexpr int kSocket = 3;
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < kSocket; ++fd) ::dup2(null, fd);
  if (theirs.get() != kSocket) ::dup3(theirs.get(), kSocket, O_CLOEXEC);
  ::closefrom(kSocket + 1);
  ::setsid();
  ::prctl(PR_SET_NAME, "nacre-passt");
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) ::signal(signal, SIG_DFL);
  help(kSocket, settled);
}

}  // namespace nacre
