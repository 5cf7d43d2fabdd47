// getfd.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;

Answer getfd(VirtualMachine& vm, const json::object& arguments, qmp::Context& context) {
  Fd fd(context.take_fd());
  if (!fd)
    return fail(
        "Invalid SCM message: no descriptor came with 'getfd'; send one over the Unix socket (SCM_RIGHTS) with the "
        "command.");
  vm.passed_fds().add(std::string(arguments.at("fdname").as_string()), std::move(fd));
  return json::object();
}

}  // namespace nacre::commands
