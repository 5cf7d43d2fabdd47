#include "core/cli/make_chardev.hpp"

#include "core/backend/char_file.hpp"
#include "core/backend/char_pty.hpp"
#include "core/backend/char_socket.hpp"
#include "core/backend/char_stdio.hpp"

namespace nacre::cli {

Result<std::unique_ptr<nacre::Chardev>> make_chardev(VirtualMachine& vm, const Chardev& wanted) {
  switch (wanted.kind) {
    case Chardev::Kind::Stdio:
      return open_char_stdio(wanted.id);
    case Chardev::Kind::Pty:
      return open_char_pty(wanted.id);
    case Chardev::Kind::File:
      return open_char_file(wanted.id, wanted.path);
    case Chardev::Kind::Socket:
      return open_char_socket({wanted.id, wanted.path, wanted.host, wanted.port, wanted.server, wanted.nowait});
    case Chardev::Kind::Plugin:
      return open_plugin_chardev(vm, {NACRE_KIND_CHARDEV, wanted.id, wanted.driver, wanted.properties});
    case Chardev::Kind::Null:
      break;
  }
  return open_char_null(wanted.id);
}

}  // namespace nacre::cli
