// -machine, -cpu, -smp, -m, -smbios: what the machine is made of.
#include <algorithm>

#include "core/cli/option_keys.hpp"
#include "core/cli/option_table.hpp"
#include "core/kvm/x86_64/cpu_features.hpp"

namespace nacre::cli {
namespace {

constexpr uint64_t kMinMemory = 128ull << 20;
constexpr uint64_t kMaxMemory = 512ull << 30;
constexpr uint64_t kPageSize = 4096;

// The level that takes what the others leave of max_cpus.
Status take_rest(uint32_t max_cpus, uint64_t others, uint32_t& level) {
  if (others > max_cpus || max_cpus % others != 0)
    return fail(
        "-smp: sockets * dies * clusters * cores * threads must be equal to max_cpus, but {} cannot be divided by the "
        "{} of the levels given.",
        max_cpus, others);
  level = static_cast<uint32_t>(max_cpus / others);
  return {};
}

}  // namespace

Status apply_machine(Draft& draft, const Given& given) {
  Options& options = draft.options;
  if (given.fields.has("type")) {
    options.machine.type = given.fields.text("type");
    for (char& c : options.machine.type)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  options.dump_guest_core = given.fields.flag("dump-guest-core", options.dump_guest_core);
  options.share_memory = given.fields.flag("mem-share", options.share_memory);
  draft.machine_accel = given.fields.text("accel");
  draft.memory_backend = given.fields.text("memory-backend");
  options.machine.properties = given.fields.others;
  return {};
}

Status apply_cpu(Draft& draft, const Given& given) {
  for (const auto& [name, value] : given.fields.others) {
    if (Status known = kvm::check_cpu_feature(name); !known) return fail("-cpu: {}", known.error().message);
    Result<Scalar> on = parse_scalar(fmt::format("-cpu: {}", name), value, {.name = "", .type = ValueType::Bool});
    if (!on) return on.error();
    draft.options.cpu_features.emplace_back(name, on->number != 0);
  }
#if !defined(__aarch64__)
  // pmu asks for nothing here: the host's counters are among what it has.
  for (const char* name : {"sve", "kvm-steal-time"})
    if (given.fields.flag(name, false)) return fail("-cpu: {}=on is for Arm hosts only; leave it out here.", name);
#endif
  return {};
}

Status apply_smp(Draft& draft, const Given& given) {
  const Fields& fields = given.fields;
  CpuLayout cpu;
  auto level = [&](const char* name) { return static_cast<uint32_t>(fields.number(name, 1)); };
  cpu.cpus = level("cpus");
  cpu.sockets = level("sockets");
  cpu.dies = level("dies");
  cpu.clusters = level("clusters");
  cpu.cores = level("cores");
  cpu.threads = level("threads");
  // Each factor is at most 254, so five of them fit in 40 bits.
  auto product = [&] { return uint64_t{1} * cpu.sockets * cpu.dies * cpu.clusters * cpu.cores * cpu.threads; };
  const bool complete = fields.has("sockets") && fields.has("dies") && fields.has("clusters") && fields.has("cores") &&
                        fields.has("threads");
  const uint64_t max_cpus = fields.number("maxcpus", complete ? product() : cpu.cpus);
  if (max_cpus < cpu.cpus || max_cpus > keys::kMaxCpus)
    return fail("-smp: MAX CPU number is {}, out of range: it is {} (the vCPUs at the start) to {}.", max_cpus,
                cpu.cpus, keys::kMaxCpus);
  cpu.max_cpus = static_cast<uint32_t>(max_cpus);
  // The level that is missing was taken as 1 in the product.
  Status rest;
  if (!fields.has("cores"))
    rest = take_rest(cpu.max_cpus, product(), cpu.cores);
  else if (!fields.has("sockets"))
    rest = take_rest(cpu.max_cpus, product(), cpu.sockets);
  else if (!fields.has("threads"))
    rest = take_rest(cpu.max_cpus, product(), cpu.threads);
  if (!rest) return rest;
  if (product() != cpu.max_cpus)
    return fail(
        "-smp: sockets * dies * clusters * cores * threads must be equal to max_cpus, but {} * {} * {} * {} * {} = {} "
        "and max_cpus is {}.",
        cpu.sockets, cpu.dies, cpu.clusters, cpu.cores, cpu.threads, product(), cpu.max_cpus);
  draft.options.cpu = cpu;
  return {};
}

Status apply_memory(Draft& draft, const Given& given) {
  const uint64_t size = given.fields.number("size", Options::kDefaultMemory);
  if (size < kMinMemory || size > kMaxMemory)
    return fail(
        "Memory size must >= 128MiB and <= 512GiB, default unit: MiB, current memory size: {} bytes; correct '-m {}'.",
        size, given.text);
  if (size % kPageSize != 0)
    return fail("-m: {} bytes is not a multiple of a page of {} bytes; write the size in MiB.", size, kPageSize);
  const uint64_t max_memory = given.fields.number("maxmem", size);
  if (max_memory < size)
    return fail("-m: maxmem ({} bytes) must bigger than current memory size ({} bytes); raise it or leave it out.",
                max_memory, size);
  draft.options.memory = size;
  draft.options.max_memory = max_memory;
  return {};
}

Status apply_smbios(Draft& draft, const Given& given) {
  std::vector<SmbiosField>& fields = draft.options.smbios;
  const uint32_t type = static_cast<uint32_t>(std::stoul(given.fields.text("type")));
  for (const SmbiosField& field : fields)
    if (field.type == type) return fail("-smbios: type {} is given twice; give all of its fields at once.", type);
  for (const Key& key : std::span(keys::kSmbios).subspan<1>())
    if (given.fields.has(key.name)) fields.push_back({type, std::string(key.name), given.fields.text(key.name)});
  if (fields.empty() || fields.back().type != type) fields.push_back({type, "", ""});
  return {};
}

}  // namespace nacre::cli
