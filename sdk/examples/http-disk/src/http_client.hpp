// As much of HTTP/1.1 as a disk needs: the size of a file, and ranges of it, over one connection that is kept.
#pragma once

#include <netinet/in.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "url.hpp"

namespace http_disk {

// Used by one thread at a time. Every wait ends after the timeout.
class HttpClient {
 public:
  HttpClient(Url url, int timeout_ms);
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  // Any thread. From now on no call waits; what is waiting fails at once.
  void interrupt();
  // The opposite; nobody is in a call.
  void resume();

  // Looks the host up and asks for the size in bytes. Looking up may take as long as the system's resolver does.
  nacre::sdk::Result<uint64_t> open();
  // Fills the buffers, `length` bytes in all, from `offset` on. A connection that the server has closed meanwhile is
  // made again.
  nacre::sdk::Status read(uint64_t offset, uint64_t length, const std::vector<iovec>& to);

 private:
  // The start of an answer: what is of interest in its headers, and the first bytes of its body.
  struct Answer {
    int status = 0;
    uint64_t length = 0;
    bool has_length = false, close = false, chunked = false;
    std::string range;
    std::string body;
  };
  nacre::sdk::Status connect();
  nacre::sdk::Status try_address(const sockaddr_storage& address, socklen_t length);
  void disconnect();
  nacre::sdk::Status wait(short events);
  nacre::sdk::Status send(const std::string& request);
  nacre::sdk::Result<Answer> ask(const std::string& method, const std::string& more);
  nacre::sdk::Status read_once(uint64_t offset, uint64_t length, const std::vector<iovec>& to);

  const Url url_;
  const int timeout_ms_;
  const int interrupt_;  // an eventfd: readable while nobody is to wait
  struct Address {
    sockaddr_storage address;
    socklen_t length;
  };
  std::vector<Address> addresses_;
  uint64_t size_ = 0;
  int socket_ = -1;
};

}  // namespace http_disk
