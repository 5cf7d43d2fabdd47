#include "core/backend/net_passt.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/backend/net_stream.hpp"
#include "core/backend/passt_process.hpp"
#include "core/base/log.hpp"

namespace nacre {
namespace {

// What passt said last, one line; empty when it said nothing.
std::string last_words(int pipe) {
  char text[4096];
  std::string all;
  for (ssize_t n; (n = ::read(pipe, text, sizeof text)) > 0;) all.append(text, static_cast<size_t>(n));
  while (!all.empty() && all.back() == '\n') all.pop_back();
  const size_t line = all.rfind('\n');
  return line == std::string::npos ? all : all.substr(line + 1);
}

class NetPasst : public NetBackend {
 public:
  NetPasst(const NetOptions& options, std::unique_ptr<PasstProcess> passt, Fd words, Fd socket)
      : NetBackend(options),
        passt_(std::move(passt)),
        words_(std::move(words)),
        stream_(std::make_unique<NetStream>(std::move(socket))) {}
  ~NetPasst() override { stream_.reset(); }

  void describe(nacre_net_info& info) const override {
    info.n_queues = 1;
    info.max_frame = kMaxFrame;
    // It ends the guest's connections itself: it looks at no checksum of theirs and takes segments of any length.
    info.takes = NACRE_NET_CSUM | NACRE_NET_TSO4 | NACRE_NET_TSO6;
    info.gives = 0;
    info.vhost = 0;
  }
  int fd(uint32_t) const override { return stream_->fd(); }
  int vhost_fd(uint32_t) const override { return -1; }
  int64_t receive(uint32_t, const iovec* iov, uint32_t n_iov) override {
    const int64_t n = stream_->receive(iov, n_iov);
    if (n == NACRE_IO && !told_) {
      told_ = true;
      const std::string words = last_words(words_.get());
      log::warn("net", "netdev '{}': passt has ended{}{}; the guest is without this network.", options().id,
                words.empty() ? "" : " and said: ", words);
    }
    return n;
  }
  int32_t send(uint32_t, const iovec* iov, uint32_t n_iov) override { return stream_->send(iov, n_iov); }
  nacre_status set_offloads(uint32_t) override { return NACRE_OK; }
  nacre_status set_queues(uint32_t n) override { return n == 1 ? NACRE_OK : NACRE_INVALID; }

 private:
  std::unique_ptr<PasstProcess> passt_;
  Fd words_;
  std::unique_ptr<NetStream> stream_;
  bool told_ = false;
};

// Room for what passt sends while a guest is slow: it drops frames that find none, and sends whole windows anew. Beyond
// the host's limit (net.core.wmem_max) by leave of CAP_NET_ADMIN alone; within it by anybody's.
void widen(int socket) {
  const int bytes = 8 << 20;
  if (::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

}  // namespace

Result<std::unique_ptr<NetBackend>> open_net_passt(const NetOptions& options) {
  int pair[2], pipe[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return fail("netdev '{}': no socket for passt: {}.", options.id, std::strerror(errno));
  Fd ours(pair[0]), theirs(pair[1]);
  widen(theirs.get());
  if (::pipe2(pipe, O_CLOEXEC) < 0)
    return fail("netdev '{}': no pipe for passt: {}.", options.id, std::strerror(errno));
  Fd words(pipe[0]), told(pipe[1]);
  ::fcntl(words.get(), F_SETFL, O_NONBLOCK);

  std::unique_ptr<PasstProcess> passt;
  const int error = PasstProcess::start(theirs.get(), told.get(), passt);
  if (error == ENOENT)
    return fail(
        "netdev '{}': a user network needs the program 'passt', which is not installed; install the package "
        "passt, or use tap.",
        options.id);
  if (error == EPERM)
    return fail(
        "netdev '{}': the sandbox lets no program be started, such as passt; start with a -netdev of kind user, which "
        "makes a helper for those that come later, or with -disable-seccomp.",
        options.id);
  if (error == EPIPE)
    return fail(
        "netdev '{}': the helper process that starts passt has ended or does not answer; the machine can have no other "
        "user network until it is started anew, but a tap.",
        options.id);
  if (error) return fail("netdev '{}': passt cannot be started: {}.", options.id, std::strerror(error));
  return std::unique_ptr<NetBackend>(new NetPasst(options, std::move(passt), std::move(words), std::move(ours)));
}

}  // namespace nacre
