// chardev-add, chardev-remove, query-chardev.
#include "core/backend/char_socket.hpp"
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

constexpr size_t kMaxSocketPath = 107;  // what fits into sockaddr_un

}  // namespace

// Arguments are of the declared form: see table.cpp.
Answer chardev_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  const json::object& data = arguments.at("backend").at("data").as_object();
  CharSocketOptions options;
  options.id = std::string(arguments.at("id").as_string());
  options.path = std::string(data.at("addr").at("data").at("path").as_string());
  const json::value* server = data.if_contains("server");
  options.server = options.nowait = server && server->as_bool();
  if (options.id.empty()) return fail("Invalid parameter 'id' of 'chardev-add': it is empty.");
  if (options.path.empty())
    return fail("Invalid parameter 'backend.data.addr.data.path' of 'chardev-add': it is empty.");
  if (options.path.size() > kMaxSocketPath)
    return fail(
        "Invalid parameter 'backend.data.addr.data.path' of 'chardev-add': it has {} bytes; at most {} are "
        "possible for a Unix socket.",
        options.path.size(), kMaxSocketPath);
  Result<std::unique_ptr<Chardev>> made = open_char_socket(options);
  if (!made) return made.error();
  if (Status added = vm.chardevs().add(options.id, std::move(*made)); !added) return added.error();
  return json::object();
}

Answer chardev_remove(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  if (Status removed = vm.chardevs().remove(std::string(arguments.at("id").as_string())); !removed)
    return removed.error();
  return json::object();
}

Answer query_chardev(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (const Chardevs::Entry& entry : vm.chardevs().all())
    list.push_back(json::object{
        {"frontend-open", !entry.user.empty()}, {"filename", entry.chardev->filename()}, {"label", entry.id}});
  return list;
}

}  // namespace nacre::commands
