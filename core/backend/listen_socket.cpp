#include "core/backend/listen_socket.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/log.hpp"

namespace nacre {

namespace {

constexpr int kBacklog = 8;

// What is at the path of a socket that could not be bound.
enum class Occupant { Nobody, Dead, Alive, NoSocket, Unknown };

Occupant probe(const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(address.sun_path, &status) < 0) return errno == ENOENT ? Occupant::Nobody : Occupant::Unknown;
  if (!S_ISSOCK(status.st_mode)) return Occupant::NoSocket;
  Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!client) return Occupant::Unknown;
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return Occupant::Alive;
  switch (errno) {
    case ECONNREFUSED:
      return Occupant::Dead;
    case ENOENT:
      return Occupant::Nobody;
    case EAGAIN:      // its backlog is full
    case EPROTOTYPE:  // a datagram socket
      return Occupant::Alive;
    default:
      return Occupant::Unknown;
  }
}

}  // namespace

Result<std::unique_ptr<ListenSocket>> ListenSocket::open_unix(const std::string& what, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty()) return fail("{}: the path of the socket is empty.", what);
  if (path.size() >= sizeof address.sun_path)
    return fail("{}: the path of the socket '{}' has {} bytes, more than the {} that a socket's path can have.", what,
                path, path.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());

  std::unique_ptr<ListenSocket> made(new ListenSocket);
  made->fd_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made->fd_) return fail("{}: cannot make a socket: {}.", what, strerror(errno));
  // The file gets the mode of the socket: there is no moment at which others could connect.
  ::fchmod(made->fd_.get(), 0600);
  for (int attempt = 0;; ++attempt) {
    if (::bind(made->fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
    if (errno != EADDRINUSE || attempt == 2)
      return fail("{}: cannot make the socket '{}': {}.", what, path, strerror(errno));
    switch (probe(address)) {
      case Occupant::Nobody:
        continue;
      case Occupant::Dead:
        ::unlink(path.c_str());
        continue;
      case Occupant::Alive:
        return fail("{}: another process already listens on the socket '{}'; use another path or end that process.",
                    what, path);
      case Occupant::NoSocket:
        return fail("{}: '{}' exists and is no socket; remove it or use another path.", what, path);
      case Occupant::Unknown:
        return fail("{}: '{}' exists and cannot be examined: {}.", what, path, strerror(errno));
    }
  }
  made->keep_spare();
  made->file_ = MadeFile(path);
  made->address_ = "unix:" + path;
  if (::listen(made->fd_.get(), kBacklog) < 0)
    return fail("{}: cannot listen on the socket '{}': {}.", what, path, strerror(errno));
  return made;
}

Result<std::unique_ptr<ListenSocket>> ListenSocket::open_tcp(const std::string& what, const std::string& host,
                                                             uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found))
    return fail("{}: '{}' is no address of this host: {}.", what, host, ::gai_strerror(error));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);

  std::unique_ptr<ListenSocket> made(new ListenSocket);
  made->fd_ = Fd(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int on = 1;
  if (made->fd_) ::setsockopt(made->fd_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!made->fd_ || ::bind(made->fd_.get(), list->ai_addr, list->ai_addrlen) < 0 ||
      ::listen(made->fd_.get(), kBacklog) < 0) {
    if (errno == EADDRINUSE)
      return fail("{}: another process already listens on port {} of '{}'; use another port.", what, port, host);
    return fail("{}: cannot listen on port {} of '{}': {}.", what, port, host, strerror(errno));
  }
  made->keep_spare();
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (port == 0 && ::getsockname(made->fd_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0)
    port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  made->address_ = "tcp:" + host + ":" + std::to_string(port);
  return made;
}

Fd ListenSocket::accept() {
  for (;;) {
    int client = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
      turned_away_ = false;
      if (address_.starts_with("tcp:")) {
        // A console is typed letters: each goes at once.
        int on = 1;
        ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      }
      return Fd(client);
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EMFILE || errno == ENFILE) turn_away(errno);
    return Fd();
  }
}

// A client that stays in the backlog would make the socket readable for ever.
void ListenSocket::turn_away(int error) {
  spare_.close();
  Fd client(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const bool there = static_cast<bool>(client);
  client.close();
  keep_spare();
  if (there && !std::exchange(turned_away_, true))
    log::warn("socket", "a client of '{}' is turned away: {}. Raise the limit of open files (ulimit -n).", address_,
              strerror(error));
}

void ListenSocket::keep_spare() {
  spare_ = Fd(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));  // of no file: there may be none to open any more (-chroot)
}

Result<Fd> connect_unix(const std::string& what, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail("{}: the path of the socket '{}' has {} bytes, more than the {} that a socket's path can have.", what,
                path, path.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail("{}: cannot make a socket: {}.", what, strerror(errno));
  // Non-blocking for this one call: a full backlog is an error, not a wait.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
    return fail("{}: cannot connect to the socket '{}': {}; start the program that serves it first.", what, path,
                strerror(errno));
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

}  // namespace nacre
