// balloon, query-balloon and query-balloon-stats.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

// virtio 1.2 §5.5.6.4, by the number of the tag; the names are those of QEMU's guest-stats.
constexpr const char* kStatNames[] = {
    "stat-swap-in",      "stat-swap-out",         "stat-major-faults", "stat-minor-faults", "stat-free-memory",
    "stat-total-memory", "stat-available-memory", "stat-disk-caches",  "stat-htlb-pgalloc", "stat-htlb-pgfail"};
static_assert(std::size(kStatNames) <= NACRE_BALLOON_STATS_MAX);

}  // namespace

Answer balloon(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  const json::value& value = arguments.at("value");
  if (value.is_int64() && value.get_int64() <= 0)
    return fail("'value' of 'balloon' is {}: it is the memory that the guest shall keep, a number of bytes above 0.",
                value.get_int64());
  const uint64_t bytes = value.is_int64() ? static_cast<uint64_t>(value.get_int64()) : value.as_uint64();
  // The amount before the change goes out first: StratoVirt's documents have the event before the answer.
  Result<uint64_t> actual = vm.balloon().actual();
  if (!actual) return actual.error();
  if (Status set = vm.balloon().set_target(bytes); !set) return set.error();
  if (vm.monitor()) (void)vm.monitor()->emit("BALLOON_CHANGED", json::serialize(json::object{{"actual", *actual}}));
  return json::object();
}

Answer query_balloon(VirtualMachine& vm, const json::object&, qmp::Context&) {
  Result<uint64_t> actual = vm.balloon().actual();
  if (!actual) return actual.error();
  return json::object{{"actual", *actual}};
}

Answer query_balloon_stats(VirtualMachine& vm, const json::object&, qmp::Context&) {
  Result<nacre_balloon_stats> stats = vm.balloon().stats();
  if (!stats) return stats.error();
  json::object values;
  for (size_t i = 0; i < std::size(kStatNames); ++i) {
    // -1, as QEMU has it, for what the guest did not tell.
    json::value value = -1;
    if (stats->known >> i & 1) value = stats->values[i];
    values[kStatNames[i]] = value;
  }
  return json::object{{"stats", std::move(values)}, {"last-update", stats->last_update}};
}

}  // namespace nacre::commands
