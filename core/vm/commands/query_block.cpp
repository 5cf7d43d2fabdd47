// Commands that tell about disks, in QEMU's shapes.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

json::object node(const std::string& id, const BlockBackend& backend) {
  const BlockOptions& options = backend.options();
  const std::string& file = backend.driver() ? options.driver : options.file;
  json::object image{{"virtual-size", backend.capacity()}, {"filename", file}, {"format", "raw"}};
  return {{"node-name", id},
          {"drv", backend.driver() ? options.driver : "raw"},
          {"ro", options.readonly},
          {"file", file},
          {"iops", options.iops_total},
          {"detect_zeroes", to_string(options.detect_zeroes)},
          {"cache", json::object{{"direct", options.direct}, {"no-flush", false}, {"writeback", true}}},
          {"image", std::move(image)}};
}

}  // namespace

Answer query_block(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (auto& [id, disk] : vm.disks().all())
    list.push_back(json::object{{"device", id},
                                {"qdev", disk.user},
                                {"type", "unknown"},
                                {"removable", false},
                                {"locked", false},
                                {"inserted", node(id, *disk.backend)}});
  return list;
}

Answer query_named_block_nodes(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (auto& [id, disk] : vm.disks().all()) list.push_back(node(id, *disk.backend));
  return list;
}

Answer query_blockstats(VirtualMachine& vm, const json::object&, qmp::Context&) {
  json::array list;
  for (auto& [id, disk] : vm.disks().all()) {
    json::object stats;
    const BlockStatistics& all = disk.backend->statistics();
    auto add = [&](const std::string& prefix, uint32_t op) {
      const BlockStatistics::Kind& kind = all.of(op);
      stats[prefix + "_operations"] = kind.operations.load(std::memory_order_relaxed);
      if (op != NACRE_BLOCK_FLUSH) stats[prefix + "_bytes"] = kind.bytes.load(std::memory_order_relaxed);
      stats["failed_" + prefix + "_operations"] = kind.failed.load(std::memory_order_relaxed);
    };
    add("rd", NACRE_BLOCK_READ);
    add("wr", NACRE_BLOCK_WRITE);
    add("flush", NACRE_BLOCK_FLUSH);
    add("unmap", NACRE_BLOCK_DISCARD);
    add("wr_zeroes", NACRE_BLOCK_WRITE_ZEROES);
    list.push_back(json::object{{"device", id}, {"node-name", id}, {"qdev", disk.user}, {"stats", std::move(stats)}});
  }
  return list;
}

}  // namespace nacre::commands
