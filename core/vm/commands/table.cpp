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
constexpr Argument kNetdevAdd[] = {{"id", Type::String, true, "the new back end's id"},
                                   {"type", Type::String, false, "tap (the default), user, or a plugin's by name"},
                                   {"ifname", Type::String, false, "name of the tap"},
                                   {"fd", Type::String, false, "a descriptor of the tap: its name or number"},
                                   {"fds", Type::String, false, "several, with ':' between, one a queue"},
                                   {"queues", Type::Int, false, "pairs of queues"},
                                   {"vhost", Type::Bool, false, "the kernel's vhost-net moves the frames"},
                                   {"vhostfd", Type::String, false, "a descriptor of /dev/vhost-net"},
                                   {"vhostfds", Type::String, false, "several, with ':' between"},
                                   {"chardev", Type::String, false, "of vhost-user, which there is not yet"},
                                   {"macnat", Type::Bool, false, "can be false only"},
                                   {"script", Type::String, false, "for libvirt, without effect"},
                                   {"downscript", Type::String, false, "likewise"},
                                   {"dnssearch", Type::Any, false, "likewise"}};
constexpr Argument kAnnounceSelf[] = {{"initial", Type::Int, false, "ms until the second time (50)"},
                                      {"max", Type::Int, false, "ms between two times at most (550)"},
                                      {"rounds", Type::Int, false, "how many times (5)"},
                                      {"step", Type::Int, false, "by how many ms the time between grows (100)"},
                                      {"interfaces", Type::Array, false, "ids of netdevs or NICs; all without it"},
                                      {"id", Type::String, false, "accepted, and without effect"}};
constexpr Argument kNetdevId[] = {{"id", Type::String, true, "the back end's id"}};
constexpr Argument kDeviceDel[] = {{"id", Type::String, true, "the device's id"},
                                   {"force", Type::Bool, false, "at once, whether or not the guest lets go (false)"}};
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

constexpr Argument kBalloon[] = {{"value", Type::Int, true, "the memory that the guest shall keep, in bytes"}};
constexpr Argument kFile[] = {{"driver", Type::String, true, "file or host_device"},
                              {"filename", Type::String, true, "path of the image"},
                              {"aio", Type::String, false, "native, iouring, threads or off"}};
constexpr Argument kCache[] = {{"direct", Type::Bool, false, "past the host's page cache (true)"},
                               {"no-flush", Type::Bool, false, "accepted, and without effect"}};
constexpr Argument kBlockdevAdd[] = {{"node-name", Type::String, true, "the new drive's id"},
                                     {"file", Type::Object, true, "where it is", {}, kFile},
                                     {"cache", Type::Object, false, "how it is cached", {}, kCache},
                                     {"read-only", Type::Bool, false, "it cannot be written (false)"},
                                     {"driver", Type::String, false, "raw, or a plugin's by name"},
                                     {"discard", Type::String, false, "unmap or ignore"},
                                     {"detect-zeroes", Type::String, false, "off, on or unmap"},
                                     {"throttling.iops-total", Type::Int, false, "requests a second; 0: no limit"},
                                     {"media", Type::String, false, "accepted, and without effect"},
                                     {"backing", Type::String, false, "likewise"},
                                     {"id", Type::String, false, "likewise"},
                                     {"options", Type::String, false, "likewise"},
                                     {"l2-cache-size", Type::Any, false, "likewise"},
                                     {"refcount-cache-size", Type::Any, false, "likewise"}};
constexpr Argument kNodeName[] = {{"node-name", Type::String, true, "the drive's id"}};
constexpr Argument kFdName[] = {{"fdname", Type::String, true, "what later commands call the descriptor"}};

constexpr Argument kGpa[] = {{"gpa", Type::String, true, "guest-physical address in hexadecimal"}};
constexpr Argument kVcpuReg[] = {{"addr", Type::String, true, "KVM's number of the register in hexadecimal"},
                                 {"vcpu", Type::Int, true, "the vCPU, from 0"}};
constexpr Argument kQomList[] = {{"path", Type::String, true, "as /machine/peripheral"}};
constexpr Argument kQomGet[] = {{"path", Type::String, true, "as /machine/peripheral/ID"},
                                {"property", Type::String, true, "the property's name"}};

struct Row {
  std::string_view name;
  Function function;
  std::string_view help;
  std::string_view returns;
  std::span<const Argument> arguments = {};
  bool makes = false;  // as in qmp::Command, like what follows
  bool takes_more = false;
  qmp::Command::Sort other = {};
};

// Back ends of plugins have properties of their own.
constexpr Argument kPluginBlockdev[] = {{"node-name", Type::String, true, "the new drive's id"},
                                        {"driver", Type::String, true, "the plugin's driver"},
                                        {"read-only", Type::Bool, false, "it cannot be written"},
                                        {"throttling.iops-total", Type::Int, false, "requests a second"}};
constexpr Argument kPluginNetdev[] = {{"id", Type::String, true, "the new back end's id"},
                                      {"type", Type::String, true, "the plugin's driver"}};
constexpr Argument kPluginData[] = {{"type", Type::String, true, "the plugin's driver"},
                                    {"data", Type::Object, false, "its properties"}};
constexpr Argument kPluginChardev[] = {{"id", Type::String, true, "the new chardev's id"},
                                       {"backend", Type::Object, true, "what it is", {}, kPluginData}};

constexpr Row kRows[] = {
    {"quit", quit, "ends the virtual machine and this program", "nothing"},
    {"stop", stop, "pauses all vCPUs; fails when they are", "nothing"},
    {"cont", cont, "resumes all vCPUs; fails when they run", "nothing"},
    {"system_powerdown", system_powerdown, "presses the power button; a machine without one is ended", "nothing"},
    {"system_reset", system_reset, "puts the machine back to power-on", "nothing"},
    {"device_add", device_add, "makes a device; further arguments are the driver's properties", "nothing", kDeviceAdd,
     true, true},
    {"device_del", device_del, "takes a device away", "nothing", kDeviceDel},
    {"blockdev-add",
     blockdev_add,
     "opens a disk image, or a plugin's disk, for a device",
     "nothing",
     kBlockdevAdd,
     true,
     false,
     {is_plugin_blockdev, kPluginBlockdev}},
    {"blockdev-del", blockdev_del, "closes a disk image that no device has", "nothing", kNodeName},
    {"getfd", getfd, "takes a descriptor that came with the command", "nothing", kFdName},
    {"netdev_add",
     netdev_add,
     "opens a network back end",
     "nothing",
     kNetdevAdd,
     true,
     false,
     {is_plugin_netdev, kPluginNetdev}},
    {"netdev_del", netdev_del, "closes a network back end that no device has", "nothing", kNetdevId},
    {"announce-self", announce_self, "asks NICs to make themselves known on their networks again", "nothing",
     kAnnounceSelf},
    {"chardev-add",
     chardev_add,
     "makes a character back end, a Unix socket or a plugin's",
     "nothing",
     kChardevAdd,
     true,
     false,
     {is_plugin_chardev, kPluginChardev}},
    {"chardev-remove", chardev_remove, "takes a character back end away that no device has", "nothing", kChardevId},
    {"query-hotpluggable-cpus", query_hotpluggable_cpus, "the vCPUs that there are or can be", "list"},
    {"query-cpus", query_cpus, "the vCPUs with their threads", "list"},
    {"balloon", balloon, "asks the guest to keep only so much memory; more than it has means all", "nothing", kBalloon},
    {"query-balloon", query_balloon, "the memory that the guest has now, in bytes", "object"},
    {"query-balloon-stats", query_balloon_stats, "what the guest says about its memory, and when; asks it for newer",
     "object"},
    {"query-status", query_status, "whether the machine runs", "object"},
    {"query-target", query_target, "the architecture", "object"},
    {"query-kvm", query_kvm, "whether KVM is in use", "object"},
    {"query-machines", query_machines, "the machine types on offer", "list"},
    {"qom-list-types", qom_list_types, "the drivers on offer", "list"},
    {"device-list-properties", device_list_properties, "the properties of a driver", "list", kTypename},
    {"query-block", query_block, "the disks", "list"},
    {"query-chardev", query_chardev, "the character back ends", "list"},
    {"query-named-block-nodes", query_named_block_nodes, "the opened images", "list"},
    {"query-blockstats", query_blockstats, "what has been done with each disk", "list"},
    {"query-block-jobs", query_none_of_list, "block jobs, of which there are none", "list"},
    {"query-mem", query_mem, "writes the memory map into the log", "nothing"},
    {"query-mem-gpa", query_mem_gpa, "the 32-bit word at a guest-physical address, in hexadecimal", "string", kGpa},
    {"query-vcpu-reg", query_vcpu_reg, "a register of a paused vCPU, in hexadecimal, where KVM shows it", "string",
     kVcpuReg},
    {"qom-list", qom_list, "what there is below a path of the object tree", "list", kQomList},
    {"qom-get", qom_get, "a property of a device, by path", "any", kQomGet},
    {"query-tpm-models", query_none_of_list, "TPM models, of which there are none", "list"},
    {"query-tpm-types", query_none_of_list, "TPM back ends, of which there are none", "list"},
    {"query-gic-capabilities", query_none_of_list, "Arm's interrupt controllers, of which there are none", "list"},
    {"query-migrate-capabilities", query_none_of_list, "switches of migration, of which there are none", "list"},
    {"query-migrate", query_migrate, "how far the migration is; there has been none", "object"},
    {"query-sev-capabilities", query_sev_capabilities, "AMD SEV, which is not used", "object"},
    {"query-vnc", query_vnc, "fails: there is no VNC", "nothing"},
    {"query-display-image", query_display_image, "fails: there is no display", "nothing"},
    {"query-ohui-status", query_ohui_status, "fails: there is no OHUI", "nothing"},
    {"query-iothreads", query_iothreads, "the iothreads", "list"},
    {"query-plugins", query_plugins, "every plugin file that was found, with its state and what it offers", "list"},
    {"plugin-load", plugin_load, "takes in one more plugin file, or enables a disabled one", "object", kPluginFile,
     true},
    {"plugin-disable", plugin_disable, "takes a plugin's drivers out of use", "object", kPluginId},
};

constexpr Argument kShutdown[] = {{"guest", Type::Bool, true, "the guest asked for it"},
                                  {"reason", Type::String, true, "why"}};
constexpr Argument kReset[] = {{"guest", Type::Bool, true, "the guest asked for it"}};
constexpr Argument kDeviceDeleted[] = {{"device", Type::String, true, "the device's id"},
                                       {"path", Type::String, true, "likewise"}};

constexpr Argument kBalloonChanged[] = {{"actual", Type::Int, true, "the memory that the guest has now, in bytes"}};

constexpr Argument kBlockIoError[] = {{"device", Type::String, true, "the drive's id"},
                                      {"node-name", Type::String, true, "likewise"},
                                      {"operation", Type::String, true, "read or write"},
                                      {"action", Type::String, true, "report: the guest gets an error"},
                                      {"nospace", Type::Bool, true, "the host's disk is full"},
                                      {"reason", Type::String, true, "why, in words"}};

constexpr Argument kPluginLoaded[] = {{"id", Type::String, true, "the plugin's id"},
                                      {"version", Type::String, true, "its version"},
                                      {"path", Type::String, true, "the file"},
                                      {"drivers", Type::Array, true, "the drivers that can be used now"}};
constexpr Argument kPluginRejected[] = {{"path", Type::String, true, "the file"},
                                        {"reason", Type::String, true, "why it is of no use, in a sentence"}};
constexpr Argument kPluginFailed[] = {{"id", Type::String, true, "the plugin's id"},
                                      {"path", Type::String, true, "the file"},
                                      {"reason", Type::String, true, "what happened, in a sentence"}};

constexpr qmp::Event kEvents[] = {
    {"SHUTDOWN", "the machine has ended", kShutdown},
    {"RESET", "the machine was reset", kReset},
    {"STOP", "the vCPUs are paused", {}},
    {"RESUME", "the vCPUs run again", {}},
    {"POWERDOWN", "the power button was pressed", {}},
    {"CPU_RESIZE", "the guest is told of a vCPU that has come or shall go", {}},
    {"DEVICE_DELETED", "a device is gone", kDeviceDeleted},
    {"BLOCK_IO_ERROR", "the host could not carry out a disk's request; at most once a second", kBlockIoError},
    {"BALLOON_CHANGED", "the guest's memory has changed", kBalloonChanged},
    {"PLUGIN_LOADED", "a plugin's code runs, or is in use again", kPluginLoaded},
    {"PLUGIN_REJECTED", "a plugin file was found and is of no use", kPluginRejected},
    {"PLUGIN_FAILED", "a plugin would not start, threw in a device, or had its file overwritten", kPluginFailed},
};

}  // namespace

void register_all(qmp::Dispatcher& dispatcher, VirtualMachine& vm) {
  for (const Row& row : kRows)
    dispatcher.add({row.name, row.help, row.returns, row.arguments,
                    [&vm, function = row.function](const boost::json::object& arguments, qmp::Context& context) {
                      return function(vm, arguments, context);
                    },
                    row.takes_more, row.other, row.makes});
  dispatcher.set_events(kEvents);
}

}  // namespace nacre::commands
