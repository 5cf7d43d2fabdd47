#include "http_client.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace http_disk {
namespace {

using nacre::sdk::Error;
using nacre::sdk::fail;
using nacre::sdk::Result;
using nacre::sdk::Status;

constexpr size_t kMostHeader = 16 << 10;

// A decimal number and nothing else.
bool parse_number(std::string_view text, uint64_t& value) {
  value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || value > (UINT64_MAX - 9) / 10) return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return !text.empty();
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return out;
}

Error io_error(const std::string& what) {
  return {NACRE_IO, what};
}

}  // namespace

HttpClient::HttpClient(Url url, int timeout_ms)
    : url_(std::move(url)), timeout_ms_(timeout_ms), interrupt_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

HttpClient::~HttpClient() {
  disconnect();
  if (interrupt_ >= 0) ::close(interrupt_);
}

void HttpClient::interrupt() {
  ::eventfd_write(interrupt_, 1);
}

void HttpClient::resume() {
  eventfd_t ignored;
  ::eventfd_read(interrupt_, &ignored);
}

void HttpClient::disconnect() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

Status HttpClient::wait(short events) {
  pollfd fds[] = {{socket_, events, 0}, {interrupt_, POLLIN, 0}};
  int ready;
  do {
    ready = ::poll(fds, 2, timeout_ms_);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return io_error("the server has not answered within " + std::to_string(timeout_ms_) + " ms");
  if (ready < 0) return io_error(std::strerror(errno));
  if (fds[1].revents) return io_error("the device is being stopped");
  return {};
}

Status HttpClient::try_address(const sockaddr_storage& address, socklen_t length) {
  disconnect();
  socket_ = ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) return io_error(std::strerror(errno));
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), length) < 0) {
    if (errno != EINPROGRESS) return io_error(std::strerror(errno));
    if (Status ready = wait(POLLOUT); !ready) return ready;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return io_error(std::strerror(error));
  }
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {};
}

Status HttpClient::connect() {
  std::string why = "it has no address";
  for (const Address& address : addresses_) {
    Status done = try_address(address.address, address.length);
    if (done) return done;
    why = done.error().message;
  }
  disconnect();
  return io_error("cannot connect to " + url_.authority() + ": " + why);
}

Status HttpClient::send(const std::string& request) {
  for (size_t sent = 0; sent < request.size();) {
    const ssize_t part = ::send(socket_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (part > 0) {
      sent += static_cast<size_t>(part);
    } else if (errno == EAGAIN) {
      if (Status ready = wait(POLLOUT); !ready) return ready;
    } else if (errno != EINTR) {
      return io_error(std::strerror(errno));
    }
  }
  return {};
}

Result<HttpClient::Answer> HttpClient::ask(const std::string& method, const std::string& more) {
  if (socket_ < 0)
    if (Status connected = connect(); !connected) return connected.error();
  const std::string request = method + " " + url_.path + " HTTP/1.1\r\nHost: " + url_.authority() +
                              "\r\nUser-Agent: http-disk\r\n" + more + "\r\n";
  if (Status sent = send(request); !sent) return sent.error();

  std::string text;
  size_t end;
  while ((end = text.find("\r\n\r\n")) == std::string::npos) {
    if (text.size() > kMostHeader) return io_error("the server's answer has no end of its headers");
    if (Status ready = wait(POLLIN); !ready) return ready.error();
    char bytes[4096];
    const ssize_t got = ::recv(socket_, bytes, sizeof bytes, 0);
    if (got == 0) return io_error("the server has closed the connection");
    if (got < 0 && errno != EAGAIN && errno != EINTR) return io_error(std::strerror(errno));
    if (got > 0) text.append(bytes, static_cast<size_t>(got));
  }
  Answer answer;
  answer.body = text.substr(end + 4);
  text.resize(end + 2);
  if (text.rfind("HTTP/1.", 0) != 0 || text.size() < 12) return io_error("the server does not answer with HTTP/1");
  answer.status = std::atoi(text.c_str() + 9);
  answer.close = text[7] == '0';
  for (size_t at = text.find("\r\n") + 2; at < text.size();) {
    const size_t eol = text.find("\r\n", at);
    const std::string_view line(text.data() + at, eol - at);
    at = eol + 2;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    const std::string name = lower(line.substr(0, colon));
    if (name == "content-length") answer.has_length = parse_number(value, answer.length);
    if (name == "content-range") answer.range = value;
    if (name == "connection") answer.close = answer.close || lower(value) == "close";
    if (name == "transfer-encoding") answer.chunked = true;
  }
  return answer;
}

Result<uint64_t> HttpClient::open() {
  if (interrupt_ < 0) return io_error("no descriptor is left for '" + url_.text + "'.");
  const addrinfo hints{.ai_flags = AI_ADDRCONFIG, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  // Addresses in numbers work where no interface is configured.
  int error = ::getaddrinfo(url_.host.c_str(), url_.port.c_str(), &hints, &found);
  if (error) {
    const addrinfo numeric{.ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (::getaddrinfo(url_.host.c_str(), url_.port.c_str(), &numeric, &found))
      return io_error("the host of '" + url_.text + "' cannot be found: " + ::gai_strerror(error) + ".");
  }
  for (const addrinfo* one = found; one; one = one->ai_next) {
    Address address{};
    std::memcpy(&address.address, one->ai_addr, one->ai_addrlen);
    address.length = one->ai_addrlen;
    addresses_.push_back(address);
  }
  ::freeaddrinfo(found);

  Result<Answer> answer = ask("HEAD", "");
  if (!answer) return io_error("'" + url_.text + "' cannot be read: " + answer.error().message + ".");
  if (answer->close) disconnect();
  if (answer->status != 200)
    return io_error("'" + url_.text + "' cannot be read: the server answers with status " +
                    std::to_string(answer->status) + ".");
  if (!answer->has_length) return io_error("'" + url_.text + "' is no disk: the server does not tell its size.");
  size_ = answer->length;
  return size_;
}

Status HttpClient::read_once(uint64_t offset, uint64_t length, const std::vector<iovec>& to) {
  const std::string range = std::to_string(offset) + "-" + std::to_string(offset + length - 1);
  Result<Answer> answer = ask("GET", "Range: bytes=" + range + "\r\n");
  if (!answer) return answer.error();
  if (answer->status == 200) return io_error("the server does not serve ranges");
  if (answer->status != 206) return io_error("the server answers with status " + std::to_string(answer->status));
  if (answer->chunked || !answer->has_length || answer->length != length || answer->body.size() > length ||
      answer->range != "bytes " + range + "/" + std::to_string(size_))
    return io_error("the server answers with '" + answer->range + "' when asked for bytes " + range + " of " +
                    std::to_string(size_));
  // What came with the headers, then the rest, straight into the buffers.
  std::vector<iovec> rest = to;
  size_t first = 0;
  auto used = [&](size_t n) {
    while (n > 0) {
      const size_t part = std::min(n, rest[first].iov_len);
      rest[first].iov_base = static_cast<char*>(rest[first].iov_base) + part;
      rest[first].iov_len -= part;
      n -= part;
      if (rest[first].iov_len == 0) ++first;
    }
  };
  for (size_t done = 0; done < answer->body.size();) {
    const size_t part = std::min(answer->body.size() - done, rest[first].iov_len);
    std::memcpy(rest[first].iov_base, answer->body.data() + done, part);
    used(part);
    done += part;
  }
  for (uint64_t left = length - answer->body.size(); left > 0;) {
    const size_t n = std::min<size_t>(rest.size() - first, 64);
    const ssize_t got = ::readv(socket_, &rest[first], static_cast<int>(n));
    if (got == 0) return io_error("the server has closed the connection in the middle of an answer");
    if (got < 0 && errno == EAGAIN) {
      if (Status ready = wait(POLLIN); !ready) return ready;
    } else if (got < 0 && errno != EINTR) {
      return io_error(std::strerror(errno));
    } else if (got > 0) {
      used(static_cast<size_t>(got));
      left -= static_cast<uint64_t>(got);
    }
  }
  if (answer->close) disconnect();
  return {};
}

Status HttpClient::read(uint64_t offset, uint64_t length, const std::vector<iovec>& to) {
  const bool kept = socket_ >= 0;
  Status done = read_once(offset, length, to);
  if (done) return done;
  disconnect();
  if (!kept) return done;
  // The server may have ended a connection that was idle: that is no fault.
  done = read_once(offset, length, to);
  if (!done) disconnect();
  return done;
}

}  // namespace http_disk
