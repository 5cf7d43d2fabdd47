// One client: bytes in, bytes out. It knows no socket.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/fd.hpp"
#include "qmp/dispatcher.hpp"
#include "qmp/framer.hpp"

namespace nacre::qmp {

// Main thread only.
class Session : private Context {
 public:
  // Events to a client that does not read are dropped beyond the first limit; beyond the second it is given up.
  static constexpr size_t kSlow = 1 << 20;  // bytes waiting to be sent
  static constexpr size_t kHopeless = 4 << 20;

  // The greeting waits in output() at once.
  explicit Session(Dispatcher& dispatcher);

  // Takes what the client has sent, with the descriptors that came along, and carries out what is complete in it. Where
  // the host has no memory for that, the client is told so.
  void feed(std::string_view bytes, std::vector<Fd> fds = {});
  // A message of the server's own: an event.
  void send_event(const std::string& text);

  // What waits to be sent; take away what was.
  const std::string& output() const { return output_; }
  void sent(size_t bytes) { output_.erase(0, bytes); }
  // The connection is of no more use once output() has been sent.
  bool closed() const { return closed_; }

 private:
  int take_fd() override;
  void serve(const Framer::Frame& frame);
  void put(const std::string& text);

  Dispatcher& dispatcher_;
  Framer framer_;
  std::vector<Fd> fds_;
  std::string output_;
  bool closed_ = false;
  bool slow_ = false;  // has missed an event since it last kept up
};

}  // namespace nacre::qmp
