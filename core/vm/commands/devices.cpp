// device_add and device_del.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

// What clients of QEMU send with every device.
bool is_without_effect(std::string_view name) {
  return name == "romfile" || name == "share-rw" || name == "disable-modern" || name == "vectors";
}

// A property's value as the command line would write it.
Result<std::string> in_text(std::string_view name, const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (value.is_int64() || value.is_uint64()) return json::serialize(value);
  return fail("the property '{}' of 'device_add' must be a string, a number or true or false.", name);
}

}  // namespace

Answer device_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  if (!vm.has_platform()) return fail("this program runs no machine (-machine none), so it takes no device.");
  Devices::Properties properties;
  for (const auto& member : arguments) {
    std::string_view name(member.key());
    if (name == "driver" || name == "id" || is_without_effect(name)) continue;
    Result<std::string> text = in_text(name, member.value());
    if (!text) return text.error();
    properties.emplace_back(name, *text);
  }
  Result<nacre_instance*> added = vm.devices().hot_add(std::string(arguments.at("driver").as_string()),
                                                       std::string(arguments.at("id").as_string()), properties);
  if (!added) return added.error();
  return json::object();
}

Answer device_del(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  std::string id(arguments.at("id").as_string());
  if (Status removed = vm.devices().remove(id); !removed) return removed.error();
  // On microvm DEVICE_DELETED comes before the answer, as StratoVirt's documents show it.
  return json::object();
}

}  // namespace nacre::commands
