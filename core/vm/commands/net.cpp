// netdev_add, netdev_del and announce-self.
#include "core/vm/commands/commands.hpp"
#include "core/vm/commands/properties.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

std::string text_of(const json::object& arguments, std::string_view name) {
  const json::value* value = arguments.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool flag_of(const json::object& arguments, std::string_view name) {
  const json::value* value = arguments.if_contains(name);
  return value && value->is_bool() && value->get_bool();
}

// The first of the names that the arguments contain, or NULL.
const char* first_given(const json::object& arguments, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (arguments.if_contains(name)) return name;
  return nullptr;
}

Status check_conflicts(const json::object& arguments) {
  if (arguments.if_contains("fd"))
    if (const char* other = first_given(arguments, {"ifname", "script", "downscript", "queues", "fds", "vhostfds"}))
      return fail("fd is conflict with ifname/script/downscript/queues/fds/vhostfds; leave out either fd or {}.",
                  other);
  if (arguments.if_contains("fds"))
    if (const char* other = first_given(arguments, {"ifname", "script", "downscript", "queues", "vhostfd"}))
      return fail("fds are conflict with ifname/script/downscript/queues/vhostfd; leave out either fds or {}.", other);
  if (arguments.if_contains("vhostfd") && arguments.if_contains("vhostfds"))
    return fail("vhostfd is conflict with vhostfds; leave one out.");
  return {};
}

Result<NetKind> kind_of(const json::object& arguments) {
  const std::string type = text_of(arguments, "type");
  if (type.empty() || type == "tap") return NetKind::Tap;
  if (type == "user") return NetKind::User;
  return fail("'netdev_add': type '{}' is not supported by this version of Nacre, which takes tap or user.", type);
}

// The descriptors that the argument `one` or `several` names.
Status take_descriptors(const PassedFds& passed, const json::object& arguments, const char* one, const char* several,
                        std::vector<int>& into) {
  const char* key = first_given(arguments, {one, several});
  if (!key) return {};
  const std::string what = fmt::format("'netdev_add': {}", key);
  Result<std::string> in_numbers = passed.in_numbers(what, text_of(arguments, key));
  if (!in_numbers) return in_numbers.error();
  Result<std::vector<int>> numbers = parse_descriptors(what, *in_numbers);
  if (!numbers) return numbers.error();
  if (key == one && numbers->size() != 1)
    return fail("'netdev_add': {} is one descriptor; write {} for several.", one, several);
  into = std::move(*numbers);
  return {};
}

}  // namespace

bool is_plugin_netdev(const json::object& arguments) {
  const std::string type = text_of(arguments, "type");
  return !type.empty() && type != "tap" && type != "user" && type != "vhost-user";
}

Answer netdev_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  NetOptions options;
  options.id = text_of(arguments, "id");
  if (is_plugin_netdev(arguments)) {
    options.driver = text_of(arguments, "type");
    Result<PropertyValues::Given> given = properties_in("netdev_add", arguments, {"id", "type"});
    if (!given) return given.error();
    options.properties = std::move(*given);
    if (Status added = vm.netdevs().add(options); !added) return added.error();
    return json::object();
  }
  Result<NetKind> kind = kind_of(arguments);
  if (!kind) return kind.error();
  options.kind = *kind;
  if (flag_of(arguments, "macnat"))
    return fail("'netdev_add': macnat is not supported by this version of Nacre; leave it out.");
  if (Status status = check_conflicts(arguments); !status) return status.error();
  options.ifname = text_of(arguments, "ifname");
  options.vhost = flag_of(arguments, "vhost");
  if (const json::value* queues = arguments.if_contains("queues")) {
    const int64_t number = queues->is_int64() ? queues->get_int64() : -1;
    if (number < 1 || number > NetOptions::kMaxQueues)
      return fail("'netdev_add': queues={} is out of range, it is 1 to {}.", json::serialize(*queues),
                  NetOptions::kMaxQueues);
    options.queues = static_cast<uint32_t>(number);
  }
  const PassedFds& passed = vm.passed_fds();
  Status taken = take_descriptors(passed, arguments, "fd", "fds", options.fds);
  if (taken) taken = take_descriptors(passed, arguments, "vhostfd", "vhostfds", options.vhostfds);
  if (!taken) return taken.error();
  if (Status added = vm.netdevs().add(options); !added) return added.error();
  for (int fd : options.fds) vm.passed_fds().forget(fd);
  for (int fd : options.vhostfds) vm.passed_fds().forget(fd);
  return json::object();
}

Answer netdev_del(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  if (Status removed = vm.netdevs().remove(text_of(arguments, "id")); !removed) return removed.error();
  return json::object();
}

Answer announce_self(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  constexpr int64_t kMax = 100'000;  // of each number, as QEMU has it
  Announcer::Plan plan;
  for (auto [name, into] :
       {std::pair{"initial", &plan.initial}, {"max", &plan.max}, {"rounds", &plan.rounds}, {"step", &plan.step}}) {
    const json::value* value = arguments.if_contains(name);
    if (!value) continue;
    const int64_t number = value->is_int64() ? value->get_int64() : -1;
    if (number < 0 || number > kMax)
      return fail("'announce-self': {}={} is out of range, it is 0 to {}.", name, json::serialize(*value), kMax);
    *into = static_cast<uint64_t>(number);
  }
  if (const json::value* names = arguments.if_contains("interfaces")) {
    for (const json::value& name : names->as_array()) {
      if (!name.is_string()) return fail("'announce-self': interfaces must be a list of names.");
      plan.names.emplace_back(name.get_string());
      if (Status known = vm.netdevs().check_name(plan.names.back()); !known)
        return fail("'announce-self': {}", known.error().message);
    }
  }
  vm.announcer().start(std::move(plan));
  return json::object();
}

}  // namespace nacre::commands
