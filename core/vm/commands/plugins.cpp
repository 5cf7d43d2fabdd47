// Commands about plugins and what they offer.
#include <algorithm>

#include "core/plugin/bus_names.hpp"
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

const char* type_name(uint32_t type) {
  switch (type) {
    case NACRE_PROP_BOOL:
      return "bool";
    case NACRE_PROP_U64:
      return "uint64";
    case NACRE_PROP_SIZE:
      return "size";
    default:
      return "str";
  }
}

// The devices of a plugin, or of one image of it.
size_t instances_of(VirtualMachine& vm, const std::string& id) {
  return vm.count_instances([&](const nacre_instance& instance) { return instance.plugin_id == id; });
}
size_t instances_of(VirtualMachine& vm, const std::vector<const nacre_type*>& types) {
  return vm.count_instances([&](const nacre_instance& instance) {
    return std::find(types.begin(), types.end(), instance.type) != types.end();
  });
}

}  // namespace

Answer query_plugins(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (const PluginInfo& plugin : vm.registry().query()) {
    json::array drivers(plugin.drivers.begin(), plugin.drivers.end());
    json::object entry{{"path", plugin.path},           {"id", plugin.id},
                       {"version", plugin.version},     {"state", state_name(plugin.state)},
                       {"tier", plugin.tier},           {"abi", plugin.abi},
                       {"drivers", std::move(drivers)}, {"devices", instances_of(vm, plugin.types)}};
    if (!plugin.system_calls.empty())
      entry["system-calls"] = json::array(plugin.system_calls.begin(), plugin.system_calls.end());
    if (!plugin.reason.empty()) entry["reason"] = plugin.reason;
    list.push_back(std::move(entry));
  }
  return list;
}

Answer plugin_load(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  Result<std::string> id = vm.registry().load_file(std::string(arguments.at("file").as_string()));
  if (!id) return id.error();
  return json::object{{"id", *id}};
}

Answer plugin_disable(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  std::string id(arguments.at("id").as_string());
  Result<std::string> sentence = vm.registry().disable(id, instances_of(vm, id));
  if (!sentence) return sentence.error();
  return json::object{{"message", *sentence}};
}

Answer device_list_properties(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  Result<LoadedType> loaded = vm.registry().load(
      NACRE_KIND_DEVICE, resolve_bus_name(vm.registry(), std::string(arguments.at("typename").as_string())).driver);
  if (!loaded) return Error{loaded.error().message, ErrorClass::DeviceNotFound};
  json::array list;
  for (const nacre_prop& property : properties_of(*loaded->type)) {
    json::object entry{{"name", property.name}, {"type", type_name(property.type)}, {"description", property.help}};
    if (property.default_text) entry["default-value"] = property.default_text;
    list.push_back(std::move(entry));
  }
  return list;
}

Answer qom_list_types(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  list.push_back(json::object{{"name", "iothread"}, {"parent", "object"}});
  list.push_back(json::object{{"name", "rng-random"}, {"parent", "rng-backend"}});
  for (const DriverInfo& driver : vm.registry().drivers()) {
    std::string parent = driver.kind != NACRE_KIND_DEVICE ? kind_name(driver.kind)
                         : driver.bus.empty()             ? "device"
                                                          : driver.bus + "-device";
    list.push_back(json::object{{"name", driver.name}, {"parent", parent}});
  }
  return list;
}

}  // namespace nacre::commands
