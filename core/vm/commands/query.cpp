// Commands that tell about the machine and this program.
#include <charconv>
#include <optional>

#include "core/base/log.hpp"
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

// A number in hexadecimal, with or without 0x; nothing when it is none or too large.
std::optional<uint64_t> hexadecimal(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string qom_path(uint32_t index) {
  return "/machine/unattached/device[" + std::to_string(index) + "]";
}

}  // namespace

Answer query_cpus(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  if (!vm.has_platform()) return list;
  const Platform& platform = vm.platform();
  for (uint32_t i = 0; i < platform.max_vcpus(); ++i) {
    if (!platform.has_vcpu(i)) continue;
    list.push_back(json::object{{"arch", "x86"},
                                {"current", true},
                                {"qom_path", qom_path(i)},
                                {"halted", false},
                                {"props", place_of(platform.topology(), i)},
                                {"CPU", i},
                                {"thread_id", platform.vcpu_thread_id(i)}});
  }
  return list;
}

Answer query_hotpluggable_cpus(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  if (!vm.has_platform()) return list;
  const char* driver = vm.machine().cpu_driver();
  for (uint32_t i = 0; i < vm.platform().max_vcpus(); ++i) {
    json::object cpu{{"type", driver ? driver : "host-x86-cpu"},
                     {"vcpus-count", 1},
                     {"cpu-id", i},
                     {"props", place_of(vm.platform().topology(), i)}};
    if (vm.platform().has_vcpu(i)) cpu["qom-path"] = qom_path(i);
    list.push_back(std::move(cpu));
  }
  return list;
}

Answer query_kvm(VirtualMachine& vm, const json::object&, qmp::Context&) {
  const bool enabled = !vm.has_platform() || !vm.platform().test_vm();
  return json::object{{"enabled", enabled}, {"present", true}};
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

// The tree goes to the log, as in StratoVirt; the answer is empty.
Answer query_mem(VirtualMachine& vm, const json::object&, qmp::Context&) {
  if (!vm.has_platform()) return json::object();
  for (const MemoryRegion& region : vm.platform().memory().regions())
    log::info("memory", "RAM {:#x}..{:#x}, {} MiB", region.gpa, region.gpa + region.length - 1, region.length >> 20);
  return json::object();
}

Answer query_mem_gpa(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  const std::string_view text(arguments.at("gpa").as_string());
  const std::optional<uint64_t> gpa = hexadecimal(text);
  if (!gpa) return fail("address not in hexadecimal: the argument 'gpa' of 'query-mem-gpa' is '{}'.", text);
  uint32_t word = 0;
  if (!vm.has_platform() || !vm.platform().memory().read(*gpa, &word, sizeof word))
    return fail("this gpa does not support query: {:#x} is not in RAM.", *gpa);
  return json::value(fmt::format("{:X}", word));
}

// StratoVirt's sentence, which it has for all that goes wrong here, and then what did.
Answer query_vcpu_reg(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  const std::string_view text(arguments.at("addr").as_string());
  const std::optional<uint64_t> id = hexadecimal(text);
  constexpr std::string_view wrong = "not supported or arguments error";
  if (!id) return fail("{}: the argument 'addr' of 'query-vcpu-reg' is '{}', which is not hexadecimal.", wrong, text);
  const json::value& vcpu = arguments.at("vcpu");
  const uint32_t end = vm.has_platform() ? vm.platform().vcpus().end() : 0;
  if (!vcpu.is_int64() || vcpu.as_int64() < 0 || vcpu.as_int64() >= end ||
      !vm.platform().vcpus().is_in(static_cast<uint32_t>(vcpu.as_int64())))
    return fail("{}: there is no vCPU {}; query-cpus lists them.", wrong, json::serialize(vcpu));
  // A vCPU that runs would keep the answer waiting.
  if (!vm.platform().vcpus().all_paused())
    return fail("{}: the vCPUs run; 'stop' the machine before their registers are read.", wrong);
  const Result<uint64_t> value = vm.platform().vcpus().vcpu(static_cast<uint32_t>(vcpu.as_int64())).one_reg(*id);
  if (!value) return fail("{}: {}", wrong, value.error().message);
  return json::value(fmt::format("{:X}", *value));
}

// The first of StratoVirt's states; the others belong to a command 'migrate', which is not here.
Answer query_migrate(VirtualMachine&, const json::object&, qmp::Context&) {
  return json::object{{"status", "none"}};
}

// What there is nothing of here: no TPM, no migration capability, no block job, no GIC on this architecture.
Answer query_none_of_list(VirtualMachine&, const json::object&, qmp::Context&) {
  return json::array();
}

Answer query_sev_capabilities(VirtualMachine&, const json::object&, qmp::Context&) {
  return json::object();
}

Answer query_vnc(VirtualMachine&, const json::object&, qmp::Context&) {
  return fail("The service of VNC is not supported");
}

Answer query_ohui_status(VirtualMachine&, const json::object&, qmp::Context&) {
  return fail("The service of OHUI is not supported");
}

Answer query_display_image(VirtualMachine&, const json::object&, qmp::Context&) {
  return fail("query-display-image is not supported");
}

}  // namespace nacre::commands
