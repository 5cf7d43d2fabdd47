// chardev-add, chardev-remove, query-chardev.
#include <algorithm>

#include "core/backend/char_socket.hpp"
#include "core/vm/commands/commands.hpp"
#include "core/vm/commands/properties.hpp"
#include "core/vm/plugin_back_end.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

constexpr size_t kMaxSocketPath = 107;  // what fits into sockaddr_un

// [arguments of the form kPluginChardev of table.cpp]
Answer add_plugin_chardev(VirtualMachine& vm, const json::object& arguments) {
  const json::object& backend = arguments.at("backend").as_object();
  PluginBackEndOptions options{
      NACRE_KIND_CHARDEV, std::string(arguments.at("id").as_string()), std::string(backend.at("type").as_string()), {}};
  if (options.id.empty()) return fail("Invalid parameter 'id' of 'chardev-add': it is empty.");
  if (const json::value* data = backend.if_contains("data")) {
    Result<PropertyValues::Given> given = properties_in("chardev-add", data->as_object(), {});
    if (!given) return given.error();
    options.properties = std::move(*given);
  }
  Result<std::unique_ptr<Chardev>> made = open_plugin_chardev(vm, options);
  if (!made) return made.error();
  if (Status added = vm.chardevs().add(options.id, std::move(*made)); !added) return added.error();
  return json::object();
}

}  // namespace

bool is_plugin_chardev(const json::object& arguments) {
  const json::value* backend = arguments.if_contains("backend");
  const json::value* type = backend && backend->is_object() ? backend->get_object().if_contains("type") : nullptr;
  if (!type || !type->is_string()) return false;
  const std::vector<std::string> own = built_in_back_ends(NACRE_KIND_CHARDEV);
  return std::find(own.begin(), own.end(), std::string_view(type->get_string())) == own.end();
}

// Arguments are of the declared form: see table.cpp.
Answer chardev_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  if (is_plugin_chardev(arguments)) return add_plugin_chardev(vm, arguments);
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
