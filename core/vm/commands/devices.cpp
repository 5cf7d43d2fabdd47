// device_add and device_del.
#include "core/vm/commands/commands.hpp"
#include "core/vm/commands/properties.hpp"

namespace nacre::commands {
namespace json = boost::json;

Answer device_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  if (!vm.has_platform()) return fail("this program runs no machine (-machine none), so it takes no device.");
  // The last four clients of QEMU send with every device.
  Result<Devices::Properties> properties =
      properties_in("device_add", arguments, {"driver", "id", "romfile", "share-rw", "disable-modern", "vectors"});
  if (!properties) return properties.error();
  for (auto& [name, value] : *properties)
    if (name == "boot_index") name = "bootindex";  // StratoVirt's name for it here
  Result<nacre_instance*> added = vm.devices().hot_add(std::string(arguments.at("driver").as_string()),
                                                       std::string(arguments.at("id").as_string()), *properties);
  if (!added) return added.error();
  return json::object();
}

Answer device_del(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  std::string id(arguments.at("id").as_string());
  const json::value* force = arguments.if_contains("force");
  if (Status removed = vm.devices().remove(id, force && force->as_bool()); !removed) return removed.error();
  // On microvm DEVICE_DELETED comes before the answer, as StratoVirt's documents show it.
  return json::object();
}

}  // namespace nacre::commands
