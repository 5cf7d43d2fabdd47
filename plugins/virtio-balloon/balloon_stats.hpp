// What the driver tells about the guest's memory (virtio 1.2 §5.5.6.3).
#pragma once

#include <nacre/abi/balloon.h>

#include <nacre/descriptor_chain.hpp>

namespace nacre::virtio_balloon {

// Reads the entries {u16 tag, u64 value} of a statistics buffer; `now` are seconds since 1970. Tags that are not known
// are left out, of a tag that comes twice the last counts, and what does not fit into kMaxEntries is not read: a driver
// has a handful of them.
inline constexpr unsigned kMaxEntries = 64;
nacre_balloon_stats parse_stats(sdk::IoVector buffer, uint64_t now);

}  // namespace nacre::virtio_balloon
