// Commands that tell about the machine and this program.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

// The place of a vCPU in the topology: threads of a core lie next to each other, and so on upwards.
json::object place_of(const kvm::CpuTopology& topology, uint32_t index) {
  uint32_t thread = index % topology.threads;
  uint32_t core = index / topology.threads % topology.cores;
  uint32_t die = index / (topology.threads * topology.cores) % topology.dies;
  uint32_t socket = index / (topology.threads * topology.cores * topology.dies);
  return {{"socket-id", socket}, {"die_id", die}, {"thread-id", thread}, {"core-id", core}};
}

std::string qom_path(uint32_t index) {
  return "/machine/unattached/device[" + std::to_string(index) + "]";
}

}  // namespace

Answer query_cpus(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  if (!vm.has_platform()) return list;
  for (uint32_t i = 0; i < vm.platform().vcpus().size(); ++i)
    list.push_back(json::object{{"arch", "x86"},
                                {"current", true},
                                {"qom_path", qom_path(i)},
                                {"halted", false},
                                {"props", place_of(vm.platform().topology(), i)},
                                {"CPU", i},
                                {"thread_id", vm.platform().vcpus().thread_id(i)}});
  return list;
}

Answer query_hotpluggable_cpus(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  if (!vm.has_platform()) return list;
  for (uint32_t i = 0; i < vm.platform().vcpus().size(); ++i)
    list.push_back(json::object{{"type", "host-x86-cpu"},
                                {"vcpus-count", 1},
                                {"props", place_of(vm.platform().topology(), i)},
                                {"qom-path", qom_path(i)}});
  return list;
}

Answer query_kvm(VirtualMachine&, const json::object&, qmp::Context&) {
  return json::object{{"enabled", true}, {"present", true}};
}

Answer query_target(VirtualMachine&, const json::object&, qmp::Context&) {
#if defined(__aarch64__)
  return json::object{{"arch", "aarch64"}};
#else
  return json::object{{"arch", "x86_64"}};
#endif
}

Answer query_machines(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  auto add = [&](std::string_view name) {
    list.push_back(json::object{{"hotpluggable-cpus", false},
                                {"name", name},
                                {"numa-mem-supported", false},
                                {"cpu-max", 255},
                                {"deprecated", false}});
  };
  add("none");
  for (const DriverInfo& driver : vm.registry().drivers())
    if (driver.kind == NACRE_KIND_MACHINE) add(driver.name);
  return list;
}

Answer query_iothreads(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (auto& [id, thread] : vm.iothreads())
    list.push_back(json::object{
        {"poll-shrink", 0}, {"thread-id", thread->thread_id()}, {"poll-grow", 0}, {"poll-max-ns", 0}, {"id", id}});
  return list;
}

Answer query_block(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (auto& [id, disk] : vm.disks().all()) {
    const BlockOptions& options = disk.backend->options();
    json::object image{{"virtual-size", disk.backend->capacity()}, {"filename", options.file}, {"format", "raw"}};
    json::object inserted{{"node-name", id},
                          {"drv", "raw"},
                          {"ro", options.readonly},
                          {"file", options.file},
                          {"iops", options.iops_total},
                          {"cache", json::object{{"direct", options.direct}, {"no-flush", false}, {"writeback", true}}},
                          {"image", std::move(image)}};
    list.push_back(json::object{{"device", id},
                                {"qdev", disk.user},
                                {"type", "unknown"},
                                {"removable", false},
                                {"locked", false},
                                {"inserted", std::move(inserted)}});
  }
  return list;
}

}  // namespace nacre::commands
