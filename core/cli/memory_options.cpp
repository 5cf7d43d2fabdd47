// -object memory-backend-*, -numa: what guest memory is made of, and the nodes that the guest sees.
#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>

#include "core/base/suggest.hpp"
#include "core/cli/option_table.hpp"

namespace nacre::cli {
namespace {

constexpr size_t kMaxNodes = 8;
constexpr uint32_t kMaxHostNode = 1023;
constexpr uint64_t kPageSize = 4096;
constexpr uint8_t kNear = 10, kFar = 20;

// "0-1:4", with or without [] around it, as ascending numbers up to `last`.
Result<std::vector<uint32_t>> parse_numbers(const std::string& where, std::string_view text, uint32_t last) {
  std::string_view list = text;
  if (list.size() > 2 && list.front() == '[' && list.back() == ']') list = list.substr(1, list.size() - 2);
  std::vector<uint32_t> numbers;
  for (const std::string& range : split_words(list, ':')) {
    uint32_t ends[2];
    const std::vector<std::string> words = split_words(range, '-');
    bool good = !words.empty() && words.size() <= 2;
    for (size_t i = 0; good && i < words.size(); ++i) {
      const char* stop = words[i].data() + words[i].size();
      const auto [at, error] = std::from_chars(words[i].data(), stop, ends[i]);
      good = error == std::errc() && at == stop && !words[i].empty();
    }
    if (good && words.size() == 1) ends[1] = ends[0];
    if (!good || ends[1] < ends[0])
      return fail("{} cannot be '{}': it is numbers and ranges such as 0-3, with ':' between several.", where, text);
    if (ends[1] > last) return fail("{} cannot be '{}': it is numbers up to {}.", where, text, last);
    for (uint32_t number = ends[0]; number <= ends[1]; ++number) numbers.push_back(number);
  }
  if (numbers.empty()) return fail("{} is empty; write its value.", where);
  std::sort(numbers.begin(), numbers.end());
  const auto twice = std::adjacent_find(numbers.begin(), numbers.end());
  if (twice != numbers.end()) return fail("{}: {} is twice in '{}'; write it once.", where, *twice, text);
  return numbers;
}

// The two spellings of one switch.
Result<bool> read_switch(const Fields& fields, const char* name, const char* other, bool fallback) {
  if (fields.has(name) && fields.has(other))
    return fail("-object: '{}' and '{}' are the same; write one.", name, other);
  return fields.flag(fields.has(other) ? other : name, fallback);
}

// The object of that name, taken by `user`, as a part of RAM.
class Objects {
 public:
  explicit Objects(const Draft& draft) : draft_(draft), users_(draft.memory_objects.size()) {}

  Result<MemoryPart> take(const std::string& id, const std::string& user) {
    std::vector<std::string> ids;
    for (size_t i = 0; i < users_.size(); ++i) {
      const MemoryObject& object = draft_.memory_objects[i];
      ids.push_back(object.part.options.id);
      if (ids.back() != id) continue;
      if (!users_[i].empty())
        return fail("{}: the memory back end '{}' is in use by {}; give each node one of its own.", user, id,
                    users_[i]);
      users_[i] = user;
      MemoryPart part = object.part;
      if (!object.shares) part.options.shared = part.options.shared || draft_.options.share_memory;
      part.options.dump_guest_core = part.options.dump_guest_core && draft_.options.dump_guest_core;
      part.options.prealloc = part.options.prealloc || draft_.mem_prealloc;
      return part;
    }
    return fail("{}: there is no memory back end '{}'; give it with '-object memory-backend-ram,id={},size=SIZE'.{}",
                user, id, id, did_you_mean(id, ids));
  }

 private:
  const Draft& draft_;
  std::vector<std::string> users_;  // "-numa node 0", or empty
};

Status check_sum(const Draft& draft, const char* whose) {
  const Options& options = draft.options;
  uint64_t sum = 0;
  for (const MemoryPart& part : options.ram) sum += part.size;  // of at most 8, each below 2^60
  if (sum == options.memory) return {};
  return fail("{} have {} bytes together, and -m says {} bytes: make them equal.", whose, sum, options.memory);
}

// Which node each vCPU is in, by its place among the nodes.
Status place_cpus(const Draft& draft, NumaTopology& numa) {
  const uint32_t count = draft.options.cpu.max_cpus;
  std::vector<std::optional<uint32_t>> places(count);
  for (uint32_t place = 0; place < draft.numa_nodes.size(); ++place)
    for (uint32_t cpu : draft.numa_nodes[place].cpus) {
      if (cpu >= count)
        return fail("-numa: node {} has vCPU {}, but the machine has vCPUs 0 to {} by -smp.",
                    draft.numa_nodes[place].id, cpu, count - 1);
      if (places[cpu])
        return fail("-numa: vCPU {} is in node {} and in node {}; it can be in one.", cpu,
                    draft.numa_nodes[*places[cpu]].id, draft.numa_nodes[place].id);
      places[cpu] = place;
    }
  for (uint32_t cpu = 0; cpu < count; ++cpu) {
    if (!places[cpu] && draft.numa_nodes[0].id != 0)
      return fail("-numa: vCPU {} is in no node, and there is no node 0 to put it in; name it in the cpus= of one.",
                  cpu);
    numa.cpu_nodes.push_back(places[cpu].value_or(0));
  }
  return {};
}

Status place_distances(const Draft& draft, NumaTopology& numa) {
  const size_t count = numa.nodes.size();
  std::vector<std::optional<uint8_t>> given(count * count);
  for (const NumaDistance& distance : draft.numa_distances) {
    size_t ends[2];
    for (int i : {0, 1}) {
      const uint32_t id = i == 0 ? distance.from : distance.to;
      const auto found = std::find_if(numa.nodes.begin(), numa.nodes.end(), [id](auto& node) { return node.id == id; });
      if (found == numa.nodes.end())
        return fail("-numa dist: there is no node {}; give it with '-numa node,nodeid={},memdev=ID'.", id, id);
      ends[i] = static_cast<size_t>(found - numa.nodes.begin());
    }
    if (ends[0] == ends[1] && distance.value != kNear)
      return fail("-numa dist: node {} is {} from itself, not {}.", distance.from, kNear, distance.value);
    if (ends[0] != ends[1] && distance.value <= kNear)
      return fail("-numa dist: node {} is more than {} from node {}, not {}: that is a node's distance to itself.",
                  distance.from, kNear, distance.to, distance.value);
    if (given[ends[0] * count + ends[1]].has_value())
      return fail("-numa dist: the distance from node {} to node {} is given twice; give it once.", distance.from,
                  distance.to);
    given[ends[0] * count + ends[1]] = distance.value;
  }
  for (size_t i = 0; i < count; ++i)
    for (size_t j = 0; j < count; ++j)
      numa.distances.push_back(given[i * count + j].value_or(given[j * count + i].value_or(i == j ? kNear : kFar)));
  return {};
}

Status resolve_numa(Draft& draft, Objects& objects) {
  std::sort(draft.numa_nodes.begin(), draft.numa_nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.id < b.id; });
  NumaTopology& numa = draft.options.numa;
  for (const NumaNode& node : draft.numa_nodes) {
    if (!numa.nodes.empty() && numa.nodes.back().id == node.id)
      return fail("-numa: node {} is given twice; give each node a number of its own.", node.id);
    Result<MemoryPart> part = objects.take(node.backend, fmt::format("-numa node {}", node.id));
    if (!part) return part.error();
    numa.nodes.push_back({node.id, 0, part->size});
    draft.options.ram.push_back(std::move(*part));
  }
  if (Status equal = check_sum(draft, "-numa: the memory back ends of the nodes"); !equal) return equal;
  if (Status placed = place_cpus(draft, numa); !placed) return placed;
  return place_distances(draft, numa);
}

}  // namespace

Status apply_memory_object(Draft& draft, const Given& given) {
  const Fields& fields = given.fields;
  MemoryObject object{{.size = fields.number("size", 0)}, fields.has("share")};
  MemoryOptions& options = object.part.options;
  options.id = fields.text("id");
  if (object.part.size == 0 || object.part.size % kPageSize != 0 || object.part.size >> 60 != 0)
    return fail("-object: the size of '{}' cannot be '{}': it is a multiple of {} bytes, and not 0.", options.id,
                fields.text("size"), kPageSize);
  options.shared = fields.flag("share", fields.text("kind") != "memory-backend-ram");
  Result<bool> dumped = read_switch(fields, "dump-guest-core", "dump", true);
  if (!dumped) return dumped.error();
  options.dump_guest_core = *dumped;
  Result<bool> prealloc = read_switch(fields, "mem-prealloc", "prealloc", false);
  if (!prealloc) return prealloc.error();
  options.prealloc = *prealloc;
  options.path = fields.text("mem-path");
  options.hugetlb = fields.flag("hugetlb", false);
  options.huge_page_size = fields.number("hugetlbsize", 0);
  if (options.huge_page_size != 0 && !options.hugetlb)
    return fail("-object: hugetlbsize goes with hugetlb; write hugetlb=on or leave it out.");
  if ((options.huge_page_size & (options.huge_page_size - 1)) != 0)
    return fail("-object: hugetlbsize cannot be '{}': it is a power of two, such as 2M.", fields.text("hugetlbsize"));
  if (fields.has("host-nodes")) {
    Result<std::vector<uint32_t>> nodes = parse_numbers("-object: host-nodes", fields.text("host-nodes"), kMaxHostNode);
    if (!nodes) return nodes.error();
    options.host_nodes = std::move(*nodes);
  }
  const std::string policy = fields.has("policy") ? fields.text("policy") : fields.has("host-nodes") ? "bind" : "";
  options.policy = policy == "bind"         ? HostPolicy::Bind
                   : policy == "preferred"  ? HostPolicy::Preferred
                   : policy == "interleave" ? HostPolicy::Interleave
                                            : HostPolicy::Default;
  if (options.policy != HostPolicy::Default && options.host_nodes.empty())
    return fail("-object: policy={} needs the nodes that it is about; add host-nodes=N.", policy);
  if (options.policy == HostPolicy::Default && !options.host_nodes.empty())
    return fail("-object: host-nodes is of no effect with policy=default; write policy=bind, preferred or interleave.");
  draft.memory_objects.push_back(std::move(object));
  return {};
}

Status apply_numa(Draft& draft, const Given& given) {
  const Fields& fields = given.fields;
  auto number = [&](const char* name) { return static_cast<uint32_t>(fields.number(name, 0)); };
  if (fields.text("kind") == "dist") {
    draft.numa_distances.push_back({number("src"), number("dst"), static_cast<uint8_t>(number("val"))});
    return {};
  }
  if (draft.numa_nodes.size() == kMaxNodes) return fail("-numa: at most {} nodes are possible.", kMaxNodes);
  NumaNode node{.id = number("nodeid"), .backend = fields.text("memdev")};
  if (fields.has("cpus")) {
    Result<std::vector<uint32_t>> cpus = parse_numbers("-numa: cpus", fields.text("cpus"), 253);
    if (!cpus) return cpus.error();
    node.cpus = std::move(*cpus);
  }
  draft.numa_nodes.push_back(std::move(node));
  return {};
}

Status resolve_memory(Draft& draft) {
  Options& options = draft.options;
  Objects objects(draft);
  if (!draft.numa_nodes.empty()) {
    if (!draft.memory_backend.empty())
      return fail("-machine memory-backend={} and -numa both say what guest memory is; leave one out.",
                  draft.memory_backend);
    return resolve_numa(draft, objects);
  }
  if (!draft.numa_distances.empty())
    return fail("-numa dist: there are no nodes; give each with '-numa node,nodeid=N,memdev=ID'.");
  if (!draft.memory_backend.empty()) {
    Result<MemoryPart> part = objects.take(draft.memory_backend, "-machine");
    if (!part) return part.error();
    options.ram.push_back(std::move(*part));
    return check_sum(draft, "-machine: the memory back ends");
  }
  MemoryPart part{options.memory, {.shared = options.share_memory, .dump_guest_core = options.dump_guest_core}};
  part.options.path = draft.mem_path;
  part.options.prealloc = draft.mem_prealloc;
  options.ram.push_back(std::move(part));
  return {};
}

}  // namespace nacre::cli
