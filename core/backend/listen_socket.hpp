// A socket that waits for clients, on the file system or on TCP, for consoles and for management alike.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/fd.hpp"
#include "core/base/made_file.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Used by one thread at a time. Never blocks.
class ListenSocket {
 public:
  // Listens at `path`, mode 0600. A socket file that nobody listens on any more is replaced; one that is alive, or a
  // file of another kind, is refused. Fails with one sentence that begins with `what` (such as "chardev 'con0'").
  static Result<std::unique_ptr<ListenSocket>> open_unix(const std::string& what, const std::string& path);
  // Listens at a name or address and port 1 .. 65535 (0: any free one, see address()).
  static Result<std::unique_ptr<ListenSocket>> open_tcp(const std::string& what, const std::string& host,
                                                        uint16_t port);
  // Removes the file, when it is still the one made here.
  ~ListenSocket() = default;
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;

  // Becomes readable when a client waits.
  int fd() const { return fd_.get(); }
  // The next waiting client, non-blocking and close-on-exec; none when nobody waits (or it has already left). Where
  // this process is out of descriptors, the client is disconnected, with a warning for the first of several.
  Fd accept();
  // "unix:<path>" or "tcp:<host>:<port>".
  const std::string& address() const { return address_; }

 private:
  ListenSocket() = default;
  void turn_away(int error);
  void keep_spare();

  Fd fd_;
  Fd spare_;  // closed for a moment, it lets a client be taken that there is no descriptor for
  bool turned_away_ = false;
  std::string address_;
  MadeFile file_;  // none for TCP
};

// Connects to the Unix socket at `path`: a blocking, close-on-exec stream socket. Never waits; fails with one sentence
// that begins with `what`.
Result<Fd> connect_unix(const std::string& what, const std::string& path);

}  // namespace nacre
