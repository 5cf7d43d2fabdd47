// Which of the host's NUMA nodes memory comes from (Linux Documentation/admin-guide/mm/numa_memory_policy.rst), and how
// much there is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

enum class HostPolicy { Default, Preferred, Bind, Interleave };

// Pages of [at, at + length) that come from now on, come from these nodes. Fails in words that begin with `name`.
Status set_host_policy(void* at, uint64_t length, HostPolicy policy, const std::vector<uint32_t>& nodes,
                       const std::string& name);

// Bytes that the host could give now, of these nodes only where there are any; UINT64_MAX where it does not say.
uint64_t host_available(const std::vector<uint32_t>& nodes);

// The value of a line "NAME: N kB" in the text of a meminfo file, in bytes; 0 when there is none.
uint64_t meminfo_value(const std::string& text, const std::string& name);

// A small file's text; empty when it cannot be read.
std::string read_small_file(const std::string& path);

}  // namespace nacre
