// Every command once: its name, arguments, help and function. Validation, query-commands and the schema come from here.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace {

using qmp::Argument;
using qmp::Type;

constexpr Argument kTypename[] = {{"typename", Type::String, true, "a driver's name"}};
constexpr Argument kPluginFile[] = {{"file", Type::String, true, "path of the plugin"}};
constexpr Argument kPluginId[] = {{"id", Type::String, true, "the plugin's id"}};
constexpr Argument kDeviceAdd[] = {{"driver", Type::String, true, "the driver's name"},
                                   {"id", Type::String, true, "the new device's id"}};
constexpr Argument kDeviceId[] = {{"id", Type::String, true, "the device's id"}};
constexpr std::string_view kSocketOnly[] = {"socket"};
constexpr std::string_view kUnixOnly[] = {"unix"};
constexpr Argument kSocketPath[] = {{"path", Type::String, true, "path of the socket"}};
constexpr Argument kSocketAddress[] = {{"type", Type::String, true, "the only kind", kUnixOnly},
                                       {"data", Type::Object, true, "where", {}, kSocketPath}};
constexpr Argument kSocketData[] = {
    {"addr", Type::Object, true, "the socket's address", {}, kSocketAddress},
    {"server", Type::Bool, false, "listen without waiting, as a console needs it; default false: connect"}};
constexpr Argument kSocketBackend[] = {{"type", Type::String, true, "the only kind", kSocketOnly},
                                       {"data", Type::Object, true, "the socket", {}, kSocketData}};
constexpr Argument kChardevAdd[] = {{"id", Type::String, true, "the new chardev's id"},
                                    {"backend", Type::Object, true, "what it is", {}, kSocketBackend}};
constexpr Argument kChardevId[] = {{"id", Type::String, true, "the chardev's id"}};

struct Row {
  std::string_view name;
  Function function;
  std::string_view help;
  std::string_view returns;
  std::span<const Argument> arguments = {};
  bool takes_more = false;
};

constexpr Row kRows[] = {
    {"quit", quit, "ends the virtual machine and this program", "nothing"},
    {"stop", stop, "pauses all vCPUs; fails when they are", "nothing"},
    {"cont", cont, "resumes all vCPUs; fails when they run", "nothing"},
    {"system_powerdown", system_powerdown, "presses the power button; a machine without one is ended", "nothing"},
    {"system_reset", system_reset, "puts the machine back to power-on", "nothing"},
    {"device_add", device_add, "makes a device; further arguments are the driver's properties", "nothing", kDeviceAdd,
     true},
    {"device_del", device_del, "takes a device away", "nothing", kDeviceId},
    {"chardev-add", chardev_add, "makes a character back end, a Unix socket", "nothing", kChardevAdd},
    {"chardev-remove", chardev_remove, "takes a character back end away that no device has", "nothing", kChardevId},
    {"query-hotpluggable-cpus", query_hotpluggable_cpus, "the vCPUs that there are or can be", "list"},
    {"query-cpus", query_cpus, "the vCPUs with their threads", "list"},
    {"query-status", query_status, "whether the machine runs", "object"},
    {"query-target", query_target, "the architecture", "object"},
    {"query-kvm", query_kvm, "whether KVM is in use", "object"},
    {"query-machines", query_machines, "the machine types on offer", "list"},
    {"qom-list-types", qom_list_types, "the drivers on offer", "list"},
    {"device-list-properties", device_list_properties, "the properties of a driver", "list", kTypename},
    {"query-block", query_block, "the disks", "list"},
    {"query-chardev", query_chardev, "the character back ends", "list"},
    {"query-iothreads", query_iothreads, "the iothreads", "list"},
    {"query-plugins", query_plugins, "every plugin file that was found, with its state and what it offers", "list"},
    {"plugin-load", plugin_load, "takes in one more plugin file", "object", kPluginFile},
    {"plugin-disable", plugin_disable, "takes a plugin's drivers out of use", "object", kPluginId},
};

constexpr Argument kShutdown[] = {{"guest", Type::Bool, true, "the guest asked for it"},
                                  {"reason", Type::String, true, "why"}};
constexpr Argument kReset[] = {{"guest", Type::Bool, true, "the guest asked for it"}};
constexpr Argument kDeviceDeleted[] = {{"device", Type::String, true, "the device's id"},
                                       {"path", Type::String, true, "likewise"}};

constexpr qmp::Event kEvents[] = {
    {"SHUTDOWN", "the machine has ended", kShutdown},
    {"RESET", "the machine was reset", kReset},
    {"STOP", "the vCPUs are paused", {}},
    {"RESUME", "the vCPUs run again", {}},
    {"POWERDOWN", "the power button was pressed", {}},
    {"DEVICE_DELETED", "a device is gone", kDeviceDeleted},
};

}  // namespace

void register_all(qmp::Dispatcher& dispatcher, VirtualMachine& vm) {
  for (const Row& row : kRows)
    dispatcher.add({row.name, row.help, row.returns, row.arguments,
                    [&vm, function = row.function](const boost::json::object& arguments, qmp::Context& context) {
                      return function(vm, arguments, context);
                    },
                    row.takes_more});
  dispatcher.set_events(kEvents);
}

}  // namespace nacre::commands
