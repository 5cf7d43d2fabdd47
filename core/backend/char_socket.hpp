// A socket as a character back end. For a console it listens, one client at a time; a protocol's own front end
// connects.
#pragma once

#include "core/backend/chardev.hpp"

namespace nacre {

struct CharSocketOptions {
  std::string id;
  std::string path;  // Unix; or, when empty, TCP:
  std::string host = "0.0.0.0";
  uint16_t port = 0;
  bool server = false;
  bool nowait = false;
};

// Nothing is done yet. The first attach() listens, and goes on listening when the front end is gone; clients are taken
// while one is attached, the next when one has left. It fails unless both `server` and `nowait` are given: a console
// waits for nobody and connects to nobody. dial() connects to `path`, whatever these two say: some users write them for
// vhost-user too, whose other end listens. Fails with one sentence when neither path nor port is given.
Result<std::unique_ptr<Chardev>> open_char_socket(const CharSocketOptions& options);

}  // namespace nacre
