// qom-list and qom-get: the user's devices as the tree /machine/peripheral, each with its properties as set.
#include "core/base/suggest.hpp"
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

constexpr std::string_view kPeripheral = "/machine/peripheral";

json::object child(const std::string& name, const std::string& type) {
  return {{"name", name}, {"type", "child<" + type + ">"}};
}

// The device that the path names. Fails in words.
Result<nacre_instance*> device_at(VirtualMachine& vm, std::string_view path) {
  if (!path.starts_with(kPeripheral) || path.size() <= kPeripheral.size() + 1 || path[kPeripheral.size()] != '/')
    return Error{fmt::format("There is no object '{}'; devices are below {}.", path, kPeripheral),
                 ErrorClass::DeviceNotFound};
  const std::string id(path.substr(kPeripheral.size() + 1));
  nacre_instance* device = vm.devices().find(id);
  if (!device) return Error{fmt::format("Device {} not found", id), ErrorClass::DeviceNotFound};
  return device;
}

// As query-block and the command line write it, but numbers and switches in their JSON types.
json::value value_of(const nacre_instance& device, const nacre_prop& property) {
  bool flag = false;
  uint64_t number = 0;
  if (property.type == NACRE_PROP_BOOL && device.properties.get_bool(property.name, flag) == NACRE_OK) return flag;
  if ((property.type == NACRE_PROP_U64 || property.type == NACRE_PROP_SIZE) &&
      device.properties.get_u64(property.name, number) == NACRE_OK)
    return number;
  const char* text = device.properties.text(property.name);
  return text ? json::value(text) : json::value("");
}

}  // namespace

Answer qom_list(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  const std::string path(arguments.at("path").as_string());
  json::array list;
  if (path == "/") return json::array{child("machine", "machine")};
  if (path == "/machine") return json::array{child("peripheral", "container")};
  if (path == kPeripheral) {
    for (auto& device : vm.devices().all()) list.push_back(child(device->id, device->type->name));
    return list;
  }
  Result<nacre_instance*> device = device_at(vm, path);
  if (!device) return device.error();
  list.push_back(json::object{{"name", "type"}, {"type", "string"}});
  for (const nacre_prop& property : properties_of(*(*device)->type)) {
    const char* type = property.type == NACRE_PROP_BOOL   ? "bool"
                       : property.type == NACRE_PROP_U64  ? "uint64"
                       : property.type == NACRE_PROP_SIZE ? "size"
                                                          : "str";
    list.push_back(json::object{{"name", property.name}, {"type", type}});
  }
  return list;
}

Answer qom_get(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  Result<nacre_instance*> device = device_at(vm, std::string_view(arguments.at("path").as_string()));
  if (!device) return device.error();
  const std::string name(arguments.at("property").as_string());
  if (name == "type") return json::value((*device)->type->name);
  std::vector<std::string> names{"type"};
  for (const nacre_prop& property : properties_of(*(*device)->type)) {
    if (property.name == name) return value_of(**device, property);
    names.emplace_back(property.name);
  }
  return fail("{} has no property '{}'.{}", (*device)->name(), name, did_you_mean(name, names));
}

}  // namespace nacre::commands
