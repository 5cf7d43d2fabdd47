#include "machines/common/acpi_numa.hpp"

#include <algorithm>

#include "machines/common/acpi_table.hpp"

namespace nacre::machine {
namespace {

constexpr uint32_t kEnabled = 1;
constexpr uint8_t kNear = 10, kFar = 20;  // §5.2.17: a node to itself, and the usual distance to another

}  // namespace

std::optional<AcpiNuma> numa_of(const nacre_machine_config& config, const RamLayout& ram) {
  const nacre_ram& described = *config.ram;
  if (described.n_nodes == 0) return std::nullopt;
  AcpiNuma numa;
  auto node = [&](uint32_t i) {
    const auto* first = reinterpret_cast<const uint8_t*>(described.nodes);
    return reinterpret_cast<const nacre_ram_node*>(first + size_t{i} * described.node_size);
  };
  uint64_t at = 0;  // in RAM, which leaves the hole out
  for (uint32_t i = 0; i < described.n_nodes; ++i) {
    const uint64_t end = at + node(i)->ram_size, low_end = std::min(end, ram.low_end);
    if (at < low_end) numa.memory.push_back({at, low_end - at, node(i)->id});
    const uint64_t high = std::max(at, ram.low_end);
    if (high < end) numa.memory.push_back({4 * kGiB + (high - ram.low_end), end - high, node(i)->id});
    at = end;
  }
  for (uint32_t cpu = 0; cpu < config.vcpus; ++cpu) numa.cpu_nodes.push_back(node(described.cpu_nodes[cpu])->id);
  // The table's rows are all numbers up to the greatest, used or not.
  const uint32_t count = node(described.n_nodes - 1)->id + 1;
  numa.localities = count;
  numa.distances.assign(size_t{count} * count, kFar);
  for (uint32_t i = 0; i < count; ++i) numa.distances[size_t{i} * count + i] = kNear;
  for (uint32_t i = 0; i < described.n_nodes; ++i)
    for (uint32_t j = 0; j < described.n_nodes; ++j)
      numa.distances[size_t{node(i)->id} * count + node(j)->id] = described.distances[i * described.n_nodes + j];
  return numa;
}

Bytes acpi_srat(const AcpiMachine& machine) {
  enum : uint8_t { kProcessor = 0, kMemory = 1, kX2apic = 2 };
  constexpr uint32_t kFirstX2apicOnly = 255;
  Bytes table = acpi_header("SRAT", 3, machine.name);
  append(table, uint32_t{1});
  append(table, uint64_t{0});
  for (uint32_t id = 0; id < machine.numa->cpu_nodes.size(); ++id) {
    const uint32_t node = machine.numa->cpu_nodes[id];
    if (id < kFirstX2apicOnly) {
      table.insert(table.end(), {kProcessor, 16, static_cast<uint8_t>(node), static_cast<uint8_t>(id)});
      append(table, kEnabled);
      append(table, uint32_t{0});  // no SAPIC, and the node's upper bytes
    } else {
      table.insert(table.end(), {kX2apic, 24, 0, 0});
      append(table, node);
      append(table, id);
      append(table, kEnabled);
      append(table, uint32_t{0});
    }
    append(table, uint32_t{0});  // clock domain, or reserved
  }
  for (const AcpiNuma::Memory& memory : machine.numa->memory) {
    table.insert(table.end(), {kMemory, 40});
    append(table, memory.node);
    append(table, uint16_t{0});
    append(table, memory.base);
    append(table, memory.length);
    append(table, uint32_t{0});
    append(table, kEnabled);
    append(table, uint64_t{0});
  }
  return acpi_finish(std::move(table));
}

Bytes acpi_slit(const AcpiMachine& machine) {
  Bytes table = acpi_header("SLIT", 1, machine.name);
  append(table, uint64_t{machine.numa->localities});
  append(table, std::span<const uint8_t>(machine.numa->distances));
  return acpi_finish(std::move(table));
}

}  // namespace nacre::machine
