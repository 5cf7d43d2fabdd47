// The NUMA nodes that a guest sees.
#pragma once

#include <nacre/abi/ram.h>

#include <cstdint>
#include <vector>

namespace nacre {

// Without nodes the guest is told of none.
struct NumaTopology {
  std::vector<nacre_ram_node> nodes;  // ascending by id; RAM is theirs in this order
  std::vector<uint8_t> distances;     // from nodes[i] to nodes[j] at [i * nodes.size() + j]
  std::vector<uint32_t> cpu_nodes;    // of each vCPU that there may be: its place in `nodes`

  // As a machine type reads it; good as long as this is unchanged.
  nacre_ram describe() const {
    nacre_ram ram{};
    ram.size = sizeof ram;
    ram.n_nodes = static_cast<uint32_t>(nodes.size());
    ram.node_size = sizeof(nacre_ram_node);
    ram.nodes = nodes.data();
    ram.distances = distances.data();
    ram.cpu_nodes = cpu_nodes.data();
    return ram;
  }
};

}  // namespace nacre
