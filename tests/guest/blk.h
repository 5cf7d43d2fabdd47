// A virtio block device as its driver sees it (virtio 1.2 §5.2).
#ifndef NACRE_TESTS_GUEST_BLK_H_
#define NACRE_TESTS_GUEST_BLK_H_

#include "ring.h"
#include "types.h"
#include "virtio_mmio.h"

enum { BLK_DEVICE_ID = 2, SECTOR = 512 };

enum blk_type { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8, BLK_DISCARD = 11, BLK_WRITE_ZEROES = 13 };

// Status bytes; the last two are this driver's own.
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_UNTOUCHED = 0xee, BLK_TIMEOUT = 0x100 };

#define BLK_FEATURE_SEG_MAX (1ull << 2)
#define BLK_FEATURE_RO (1ull << 5)
#define BLK_FEATURE_FLUSH (1ull << 9)
#define BLK_FEATURE_MQ (1ull << 12)
#define BLK_FEATURE_DISCARD (1ull << 13)
#define BLK_FEATURE_WRITE_ZEROES (1ull << 14)

// §5.2.4, offsets in the configuration space.
enum { BLK_CONFIG_CAPACITY = 0, BLK_CONFIG_NUM_QUEUES = 34, BLK_CONFIG_MAX_DISCARD = 36, BLK_CONFIG_MAX_ZEROES = 48 };

struct blk_header {
  u32 type, reserved;
  u64 sector;
};

// What a request needs beside its data; lies in memory the device reaches.
struct blk_request {
  struct blk_header header;
  volatile u8 status;
  u8 padding[15];
};

// §5.2.6, the data of discard and write-zeroes.
struct blk_range {
  u64 sector;
  u32 sectors, flags;
};

struct blk {
  struct virtio_mmio device;
  u64 offered, features;
  u64 capacity;  // in sectors
  u16 queue_count;
  struct ring queues[RING_MAX_QUEUES];
};

// Finds the block device of the command line: `blk=` and `irq=`, or the `slot=`-th (default 0) of the
// virtio_mmio.device entries that is a block device. Returns NULL, or why there is none.
const char* blk_find(struct virtio_mmio* device);

// Resets the device, negotiates `wanted` (VERSION_1 is added; what is not offered is left out), sets up `queues` queues
// of at most `size` entries and sets DRIVER_OK. Returns NULL, or why it failed.
const char* blk_open(struct blk* blk, u64 wanted, u16 queues, u16 size);

// Everything this driver knows, for blk_open().
#define BLK_ALL_FEATURES                                                                                  \
  (FEATURE_INDIRECT_DESC | FEATURE_EVENT_IDX | BLK_FEATURE_SEG_MAX | BLK_FEATURE_RO | BLK_FEATURE_FLUSH | \
   BLK_FEATURE_MQ | BLK_FEATURE_DISCARD | BLK_FEATURE_WRITE_ZEROES)

// Fills in a request record.
void blk_prepare(struct blk_request* request, u32 type, u64 sector);

// Pushes the segments as one request to queue `queue`, notifies, waits. Returns the status byte or BLK_TIMEOUT.
u32 blk_submit(struct blk* blk, u16 queue, struct blk_request* request, const struct segment* segments, u32 count);

// One request with its data in one segment (none when `bytes` is 0), `data` read by the device unless `device_writes`.
u32 blk_transfer(struct blk* blk, u16 queue, u32 type, u64 sector, void* data, u32 bytes, bool device_writes);

static inline u32 blk_read(struct blk* blk, u64 sector, void* data, u32 bytes) {
  return blk_transfer(blk, 0, BLK_IN, sector, data, bytes, true);
}

static inline u32 blk_write(struct blk* blk, u64 sector, void* data, u32 bytes) {
  return blk_transfer(blk, 0, BLK_OUT, sector, data, bytes, false);
}

// Sector `s` of the pattern is 64 little-endian words, the i-th of them seed + 64 * s + i.
void pattern_fill(void* data, u64 sector, u32 bytes, u64 seed);
bool pattern_matches(const void* data, u64 sector, u32 bytes, u64 seed);

#endif
