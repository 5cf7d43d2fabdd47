// The QMP commands of a virtual machine; each is declared in table.cpp and written in the file of its theme.
#pragma once

#include "core/vm/virtual_machine.hpp"
#include "qmp/dispatcher.hpp"

namespace nacre::commands {

using Answer = Result<boost::json::value>;
using Function = Answer (*)(VirtualMachine& vm, const boost::json::object& arguments, qmp::Context& context);

// Whether a request is for a back end of a plugin, with arguments of its own.
bool is_plugin_blockdev(const boost::json::object& arguments);
bool is_plugin_netdev(const boost::json::object& arguments);
bool is_plugin_chardev(const boost::json::object& arguments);

// Adds all of them, and the events.
void register_all(qmp::Dispatcher& dispatcher, VirtualMachine& vm);

Answer stop(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer cont(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer quit(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer system_reset(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer system_powerdown(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_status(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer query_cpus(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_hotpluggable_cpus(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_kvm(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_target(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_machines(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_iothreads(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_mem(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_mem_gpa(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_migrate(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_vcpu_reg(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_none_of_list(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_sev_capabilities(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_vnc(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_ohui_status(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_display_image(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer query_block(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_named_block_nodes(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_blockstats(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer qom_list(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer qom_get(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer query_plugins(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer plugin_load(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer plugin_disable(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer device_list_properties(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer qom_list_types(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer balloon(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_balloon(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_balloon_stats(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer netdev_add(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer announce_self(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer netdev_del(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer chardev_add(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer chardev_remove(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer query_chardev(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer device_add(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer device_del(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer blockdev_add(VirtualMachine&, const boost::json::object&, qmp::Context&);
Answer blockdev_del(VirtualMachine&, const boost::json::object&, qmp::Context&);

Answer getfd(VirtualMachine&, const boost::json::object&, qmp::Context&);

}  // namespace nacre::commands
