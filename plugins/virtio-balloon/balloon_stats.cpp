#include "balloon_stats.hpp"

namespace nacre::virtio_balloon {
namespace {

struct [[gnu::packed]] Entry {
  uint16_t tag;
  uint64_t value;
};

}  // namespace

nacre_balloon_stats parse_stats(sdk::IoVector buffer, uint64_t now) {
  nacre_balloon_stats stats{};
  stats.size = sizeof stats;
  stats.last_update = now;
  Entry entry;
  for (unsigned i = 0; i < kMaxEntries && buffer.take_front(&entry, sizeof entry); ++i) {
    if (entry.tag >= NACRE_BALLOON_STATS_MAX) continue;
    stats.values[entry.tag] = entry.value;
    stats.known |= 1u << entry.tag;
  }
  return stats;
}

}  // namespace nacre::virtio_balloon
