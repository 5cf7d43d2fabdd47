// The numbers of the block device type (virtio 1.2 §5.2).
#pragma once

#include <cstdint>

namespace nacre::virtio_blk {

inline constexpr uint32_t kDeviceId = 2;
inline constexpr uint32_t kSectorSize = 512;
inline constexpr uint32_t kIdBytes = 20;

// Feature bits, §5.2.3.
enum Feature : unsigned {
  kSegMax = 2,
  kRo = 5,
  kFlush = 9,
  kMq = 12,
  kDiscard = 13,
  kWriteZeroes = 14,
};

// Request types, §5.2.6.
enum RequestType : uint32_t {
  kIn = 0,
  kOut = 1,
  kFlushType = 4,
  kGetId = 8,
  kDiscardType = 11,
  kWriteZeroesType = 13,
};

enum Status : uint8_t { kOk = 0, kIoErr = 1, kUnsupp = 2 };

struct Header {
  uint32_t type;
  uint32_t reserved;
  uint64_t sector;
};

struct Segment {  // of discard and write zeroes
  uint64_t sector;
  uint32_t num_sectors;
  uint32_t flags;
};
inline constexpr uint32_t kSegmentUnmap = 1;
inline constexpr uint32_t kMaxSegmentSectors = 0x7fffff;

// §5.2.4; fields up to the last that a feature above makes valid.
struct [[gnu::packed]] Config {
  uint64_t capacity;  // sectors
  uint32_t size_max;
  uint32_t seg_max;
  uint16_t cylinders;
  uint8_t heads;
  uint8_t sectors;
  uint32_t blk_size;
  uint8_t topology[8];
  uint8_t writeback;
  uint8_t unused0;
  uint16_t num_queues;
  uint32_t max_discard_sectors;
  uint32_t max_discard_seg;
  uint32_t discard_sector_alignment;
  uint32_t max_write_zeroes_sectors;
  uint32_t max_write_zeroes_seg;
  uint8_t write_zeroes_may_unmap;
  uint8_t unused1[3];
};
static_assert(sizeof(Config) == 60);

}  // namespace nacre::virtio_blk
