// The numbers of the balloon device type (virtio 1.2 §5.5).
#pragma once

#include <cstdint>

namespace nacre::virtio_balloon {

inline constexpr uint32_t kDeviceId = 5;
inline constexpr uint64_t kPageSize = 4096;  // of page numbers, whatever the guest's pages are: §5.5.6
inline constexpr uint16_t kQueueSize = 256;

// Feature bits, §5.5.3.
enum Feature : unsigned {
  kStatsVq = 1,
  kDeflateOnOom = 2,
  kReporting = 5,
  kMessageVq = 16,  // StratoVirt's own: a driver that settles the balloon's size by itself
};

// §5.5.4, and what follows with kMessageVq.
struct Config {
  uint32_t num_pages;  // that the guest is asked to give
  uint32_t actual;     // that it has given
  uint32_t reserved[2];
  uint32_t membuf_percent;    // of its memory, that the guest shall keep free
  uint32_t monitor_interval;  // seconds between its looks at that
};
static_assert(sizeof(Config) == 24);
inline constexpr uint32_t kPlainConfig = 8;  // bytes, without it

}  // namespace nacre::virtio_balloon
