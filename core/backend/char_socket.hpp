// A listening socket as a character back end: one client at a time.
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

// Listens at once; clients are taken while a front end is attached. The next may come when one has left. Both `server`
// and `nowait` are needed: a console waits for nobody and connects to nobody. Fails with one sentence.
Result<std::unique_ptr<Chardev>> open_char_socket(const CharSocketOptions& options);

}  // namespace nacre
