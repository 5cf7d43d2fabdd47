#include "core/memory/policy.hpp"

#include <fmt/ranges.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

namespace nacre {
namespace {

constexpr const char* kNodes = "/sys/devices/system/node/";

int mode_of(HostPolicy policy) {
  switch (policy) {
    case HostPolicy::Preferred:
      return MPOL_PREFERRED;
    case HostPolicy::Bind:
      return MPOL_BIND;
    case HostPolicy::Interleave:
      return MPOL_INTERLEAVE;
    case HostPolicy::Default:
      break;
  }
  return MPOL_DEFAULT;
}

constexpr size_t kWordBits = 8 * sizeof(unsigned long);
constexpr size_t kMaxNodes = 1024;  // of any kernel: CONFIG_NODES_SHIFT is 10 at most

// The nodes with memory that this process may use. Not from /sys, which a sandbox may not have.
std::vector<unsigned long> allowed_nodes() {
  std::vector<unsigned long> mask(kMaxNodes / kWordBits);
  if (::syscall(SYS_get_mempolicy, nullptr, mask.data(), kMaxNodes, nullptr, MPOL_F_MEMS_ALLOWED) != 0) mask.clear();
  return mask;
}

bool is_set(const std::vector<unsigned long>& mask, uint32_t node) {
  return node / kWordBits < mask.size() && (mask[node / kWordBits] >> node % kWordBits & 1) != 0;
}

std::string names_of(const std::vector<unsigned long>& mask) {
  std::vector<uint32_t> nodes;
  for (uint32_t node = 0; node < mask.size() * kWordBits; ++node)
    if (is_set(mask, node)) nodes.push_back(node);
  return fmt::format("{}", fmt::join(nodes, ", "));
}

}  // namespace

Status set_host_policy(void* at, uint64_t length, HostPolicy policy, const std::vector<uint32_t>& nodes,
                       const std::string& name) {
  if (policy == HostPolicy::Default) return {};
  // The kernel is content when one of them is there.
  const std::vector<unsigned long> there = allowed_nodes();
  for (uint32_t node : nodes)
    if (!there.empty() && !is_set(there, node))
      return fail("{} cannot come from node {} of the host, which is not there; host-nodes may name: {}.", name, node,
                  names_of(there));
  std::vector<unsigned long> mask(*std::max_element(nodes.begin(), nodes.end()) / kWordBits + 1);
  for (uint32_t node : nodes) mask[node / kWordBits] |= 1ul << node % kWordBits;
  // The kernel reads one bit less than it is told.
  if (::syscall(SYS_mbind, at, length, mode_of(policy), mask.data(), mask.size() * kWordBits + 1, 0) == 0) return {};
  return fail("{} cannot be bound to nodes of the host: {}; leave host-nodes and policy out.", name, strerror(errno));
}

uint64_t host_available(const std::vector<uint32_t>& nodes) {
  if (nodes.empty()) {
    const std::string text = read_small_file("/proc/meminfo");
    if (text.find("MemAvailable:") == text.npos) return std::numeric_limits<uint64_t>::max();
    return meminfo_value(text, "MemAvailable") + meminfo_value(text, "SwapFree");
  }
  uint64_t sum = 0;
  for (uint32_t node : nodes) {
    const std::string text = read_small_file(kNodes + fmt::format("node{}/meminfo", node));
    if (text.empty()) return std::numeric_limits<uint64_t>::max();
    // A node does not say what is available: free, and what the kernel would drop.
    for (const char* part : {"MemFree", "Active(file)", "Inactive(file)", "SReclaimable"})
      sum += meminfo_value(text, part);
  }
  return sum;
}

uint64_t meminfo_value(const std::string& text, const std::string& name) {
  const size_t at = text.find(" " + name + ":");
  const size_t found = text.starts_with(name + ":") ? 0 : at != text.npos ? at + 1 : text.find("\n" + name + ":");
  if (found == text.npos) return 0;
  uint64_t number = 0;
  std::istringstream(text.substr(text.find(':', found) + 1)) >> number;
  return number << 10;
}

std::string read_small_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace nacre
