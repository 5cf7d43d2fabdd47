// Requests a well-behaved driver makes, and the errors it may get (virtio 1.2 §5.2.6).
#include "blk.h"
#include "machine.h"
#include "memory.h"
#include "test.h"

static struct blk blk;

static enum test_result identity(void) {
  struct virtio_mmio device;
  const char* why = blk_find(&device);
  CHECK(!why, "%s", why);
  CHECK(virtio_read(&device, MMIO_MAGIC) == 0x74726976, "MagicValue is 0x%x", virtio_read(&device, MMIO_MAGIC));
  CHECK(virtio_read(&device, MMIO_VERSION) == 2, "Version is %u, not 2", virtio_read(&device, MMIO_VERSION));
  CHECK(virtio_read(&device, MMIO_DEVICE_ID) == BLK_DEVICE_ID, "DeviceID is %u", virtio_read(&device, MMIO_DEVICE_ID));
  CHECK(virtio_reset(&device), "Status does not read 0 after a reset");
  u64 features = virtio_device_features(&device);
  CHECK(features & FEATURE_VERSION_1, "VERSION_1 is not among the features 0x%lx", features);
  CHECK(!(features >> 41), "reserved feature bits are offered: 0x%lx", features);
  virtio_write(&device, MMIO_DEVICE_FEATURES_SEL, 2);
  CHECK(virtio_read(&device, MMIO_DEVICE_FEATURES) == 0, "features 64 to 95 do not read 0");
  virtio_write(&device, MMIO_QUEUE_SEL, 0);
  u32 maximum = virtio_read(&device, MMIO_QUEUE_NUM_MAX);
  CHECK(maximum && maximum <= 32768, "QueueNumMax of queue 0 is %u", maximum);
  virtio_write(&device, MMIO_QUEUE_SEL, 0xffff);
  CHECK(virtio_read(&device, MMIO_QUEUE_NUM_MAX) == 0, "queue 65535 exists");
  CHECK(virtio_read(&device, MMIO_INTERRUPT_STATUS) == 0, "InterruptStatus is not 0 after a reset");
  return TEST_PASS;
}

static enum test_result capacity(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  u64 expected = word_number("sectors", blk.capacity);
  CHECK(blk.capacity == expected, "capacity is %lu sectors, not %lu", blk.capacity, expected);
  CHECK(blk.capacity, "capacity is 0");
  u32 bytewise = 0;
  for (u32 i = 0; i < 4; ++i) bytewise |= (u32)mmio_read8(blk.device.base + MMIO_CONFIG + i) << 8 * i;
  CHECK(bytewise == (u32)blk.capacity, "capacity by bytes is 0x%x", bytewise);
  return TEST_PASS;
}

static enum test_result write_read(void) {
  static const u32 kSizes[] = {512, 1024, 4096, 65536};
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  NEED_WRITABLE(&blk);
  u8* out = dma_alloc(65536);
  u8* in = dma_alloc(65536);
  for (u32 i = 0; i < COUNT_OF(kSizes); ++i) {
    u64 sector = 8 + 128 * i;
    pattern_fill(out, sector, kSizes[i], 0x1000 + i);
    u32 status = blk_write(&blk, sector, out, kSizes[i]);
    CHECK(status == BLK_OK, "writing %u bytes: status 0x%x", kSizes[i], status);
    status = blk_read(&blk, sector, in, kSizes[i]);
    CHECK(status == BLK_OK, "reading %u bytes: status 0x%x", kSizes[i], status);
    CHECK(pattern_matches(in, sector, kSizes[i], 0x1000 + i), "%u bytes read differ from what was written", kSizes[i]);
  }
  u64 last = blk.capacity - 1;
  pattern_fill(out, last, SECTOR, 7);
  CHECK(blk_write(&blk, last, out, SECTOR) == BLK_OK, "the last sector refuses a write");
  CHECK(blk_read(&blk, last, in, SECTOR) == BLK_OK && pattern_matches(in, last, SECTOR, 7), "the last sector differs");
  return TEST_PASS;
}

// A request of `bytes` whose data lies in `count` segments with gaps between them.
static u32 scattered(u32 type, u64 sector, u8* data, const u32* lengths, u32 count) {
  static struct blk_request request;
  struct segment segments[34];
  blk_prepare(&request, type, sector);
  segments[0] = (struct segment){physical(&request.header), sizeof request.header, false};
  for (u32 i = 0; i < count; ++i) {
    segments[1 + i] = (struct segment){physical(data), lengths[i], type == BLK_IN};
    data += lengths[i] + 24;
  }
  segments[1 + count] = (struct segment){physical(&request.status), 1, true};
  return blk_submit(&blk, 0, &request, segments, count + 2);
}

static enum test_result scatter_gather(void) {
  static const u32 k2[] = {104, 408}, k3[] = {1, 510, 1}, k8[] = {512, 512, 512, 512, 512, 512, 512, 512};
  static const u32 k5[] = {4096, 8, 504, 1000, 24};
  static const struct {
    const u32* lengths;
    u32 count, bytes;
  } kLayouts[] = {{k2, 2, 512}, {k3, 3, 512}, {k8, 8, 4096}, {k5, 5, 5632}};
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  NEED_WRITABLE(&blk);
  u8* data = dma_alloc(16384);
  u8* flat = dma_alloc(8192);
  for (u32 i = 0; i < COUNT_OF(kLayouts); ++i) {
    u64 sector = 600 + 16 * i;
    pattern_fill(flat, sector, kLayouts[i].bytes, 77);
    u32 offset = 0, at = 0;
    for (u32 k = 0; k < kLayouts[i].count; ++k) {
      memcpy(data + at, flat + offset, kLayouts[i].lengths[k]);
      offset += kLayouts[i].lengths[k];
      at += kLayouts[i].lengths[k] + 24;
    }
    u32 status = scattered(BLK_OUT, sector, data, kLayouts[i].lengths, kLayouts[i].count);
    CHECK(status == BLK_OK, "writing from %u segments: status 0x%x", kLayouts[i].count, status);
    zero_memory(flat, kLayouts[i].bytes);
    status = blk_read(&blk, sector, flat, kLayouts[i].bytes);
    CHECK(status == BLK_OK && pattern_matches(flat, sector, kLayouts[i].bytes, 77),
          "what was written from %u segments reads differently", kLayouts[i].count);
    memset(data, 0xa5, at);
    status = scattered(BLK_IN, sector, data, kLayouts[i].lengths, kLayouts[i].count);
    CHECK(status == BLK_OK, "reading into %u segments: status 0x%x", kLayouts[i].count, status);
    offset = at = 0;
    for (u32 k = 0; k < kLayouts[i].count; ++k) {
      CHECK(memcmp(data + at, flat + offset, kLayouts[i].lengths[k]) == 0, "segment %u of %u differs", k,
            kLayouts[i].count);
      CHECK(data[at + kLayouts[i].lengths[k]] == 0xa5, "the device wrote past segment %u of %u", k, kLayouts[i].count);
      offset += kLayouts[i].lengths[k];
      at += kLayouts[i].lengths[k] + 24;
    }
  }
  return TEST_PASS;
}

// §2.7.4.1: the device makes no assumption about where one descriptor ends: header in two, status after the data.
static enum test_result framing(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  struct blk_request* request = dma_alloc(sizeof *request);
  u8* data = dma_alloc(4096);
  u8* plain = dma_alloc(4096);
  CHECK(blk_read(&blk, 3, plain, SECTOR) == BLK_OK, "a plain read fails");
  blk_prepare(request, BLK_IN, 3);
  data[SECTOR] = BLK_UNTOUCHED;
  struct segment segments[3] = {
      {physical(request), 4, false}, {physical(request) + 4, 12, false}, {physical(data), SECTOR + 1, true}};
  u32 status = blk_submit(&blk, 0, request, segments, 3);
  CHECK(status != BLK_TIMEOUT, "no answer to a header in two descriptors and a status in the data's");
  CHECK(data[SECTOR] == BLK_OK, "status 0x%x", data[SECTOR]);
  CHECK(memcmp(data, plain, SECTOR) == 0, "the data differs from a plain read's");
  if (blk.offered & BLK_FEATURE_RO) return TEST_PASS;
  // Header and data of a write in one descriptor.
  u8* whole = dma_alloc(4096);
  *(struct blk_header*)whole = (struct blk_header){BLK_OUT, 0, 3};
  memcpy(whole + sizeof(struct blk_header), plain, SECTOR);
  request->status = BLK_UNTOUCHED;
  struct segment write[2] = {{physical(whole), sizeof(struct blk_header) + SECTOR, false},
                             {physical(&request->status), 1, true}};
  status = blk_submit(&blk, 0, request, write, 2);
  CHECK(status == BLK_OK, "header and data in one descriptor: status 0x%x", status);
  return TEST_PASS;
}

// §2.7.8.2: used length counts what the device wrote, the status byte included.
static enum test_result used_length(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  struct blk_request* request = dma_alloc(sizeof *request);
  u8* data = dma_alloc(4096);
  blk_prepare(request, BLK_IN, 0);
  struct segment segments[3] = {
      {physical(request), 16, false}, {physical(data), 4096, true}, {physical(&request->status), 1, true}};
  struct ring_used_element element;
  ring_push(&blk.queues[0], ring_add(&blk.queues[0], segments, 3));
  ring_notify(&blk.queues[0]);
  CHECK(ring_wait(&blk.queues[0], &element), "no answer");
  CHECK(request->status == BLK_OK && element.length == 4097, "used length %u, not 4097", element.length);
  return TEST_PASS;
}

static enum test_result flush(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  if (!(blk.features & BLK_FEATURE_FLUSH)) return test_skip("FLUSH is not offered");
  u8* data = dma_alloc(4096);
  if (!(blk.offered & BLK_FEATURE_RO)) CHECK(blk_write(&blk, 9, data, 4096) == BLK_OK, "a write fails");
  u32 status = blk_transfer(&blk, 0, BLK_FLUSH, 0, NULL, 0, false);
  CHECK(status == BLK_OK, "status 0x%x", status);
  return TEST_PASS;
}

// Without FLUSH negotiated each write is on the disk when it completes; here it only has to complete.
static enum test_result write_through(void) {
  OPEN(&blk, 0, 1, 64);
  NEED_WRITABLE(&blk);
  u8* data = dma_alloc(4096);
  pattern_fill(data, 40, 4096, 5);
  CHECK(blk_write(&blk, 40, data, 4096) == BLK_OK, "a write without FLUSH negotiated fails");
  zero_memory(data, 4096);
  CHECK(blk_read(&blk, 40, data, 4096) == BLK_OK && pattern_matches(data, 40, 4096, 5), "it reads differently");
  return TEST_PASS;
}

static enum test_result get_id(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  char* id = dma_alloc(4096);
  memset(id, 0x7f, 32);
  u32 status = blk_transfer(&blk, 0, BLK_GET_ID, 0, id, 20, true);
  CHECK(status == BLK_OK, "status 0x%x", status);
  CHECK(id[20] == 0x7f, "more than 20 bytes were written");
  id[20] = 0;
  char serial[32] = "";
  if (word_text("serial", serial, sizeof serial)) {
    serial[20] = 0;
    CHECK(strcmp(id, serial) == 0, "the id is '%s', not '%s'", id, serial);
  }
  return TEST_PASS;
}

static enum test_result discard(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  if (!(blk.features & BLK_FEATURE_DISCARD)) return test_skip("DISCARD is not offered");
  CHECK(virtio_read(&blk.device, MMIO_CONFIG + BLK_CONFIG_MAX_DISCARD), "max_discard_sectors is 0");
  struct blk_range* range = dma_alloc(4096);
  *range = (struct blk_range){1024, 64, 0};
  u32 status = blk_transfer(&blk, 0, BLK_DISCARD, 0, range, sizeof *range, false);
  CHECK(status == BLK_OK, "64 sectors: status 0x%x", status);
  *range = (struct blk_range){1024, 64, 1};
  status = blk_transfer(&blk, 0, BLK_DISCARD, 0, range, sizeof *range, false);
  CHECK(status == BLK_UNSUPP, "with the unmap flag: status 0x%x, not UNSUPP", status);
  *range = (struct blk_range){1024, 64, 0x80000000};
  status = blk_transfer(&blk, 0, BLK_DISCARD, 0, range, sizeof *range, false);
  CHECK(status == BLK_UNSUPP, "with an unknown flag: status 0x%x, not UNSUPP", status);
  *range = (struct blk_range){blk.capacity, 1, 0};
  status = blk_transfer(&blk, 0, BLK_DISCARD, 0, range, sizeof *range, false);
  CHECK(status == BLK_IOERR, "beyond the capacity: status 0x%x, not IOERR", status);
  *range = (struct blk_range){~0ull - 3, 8, 0};
  status = blk_transfer(&blk, 0, BLK_DISCARD, 0, range, sizeof *range, false);
  CHECK(status == BLK_IOERR, "with a sector number that wraps: status 0x%x, not IOERR", status);
  return TEST_PASS;
}

static enum test_result write_zeroes(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  if (!(blk.features & BLK_FEATURE_WRITE_ZEROES)) return test_skip("WRITE_ZEROES is not offered");
  struct blk_range* range = dma_alloc(4096);
  u8* data = dma_alloc(4096);
  for (u32 unmap = 0; unmap < 2; ++unmap) {
    pattern_fill(data, 1100, 4096, 3);
    CHECK(blk_write(&blk, 1100, data, 4096) == BLK_OK, "a write fails");
    *range = (struct blk_range){1102, 4, unmap};
    u32 status = blk_transfer(&blk, 0, BLK_WRITE_ZEROES, 0, range, sizeof *range, false);
    CHECK(status == BLK_OK, "4 sectors, unmap %u: status 0x%x", unmap, status);
    CHECK(blk_read(&blk, 1100, data, 4096) == BLK_OK, "reading back fails");
    CHECK(pattern_matches(data, 1100, 1024, 3) && pattern_matches(data + 3072, 1106, 1024, 3),
          "sectors beside the zeroed ones changed, unmap %u", unmap);
    for (u32 i = 1024; i < 3072; ++i) CHECK(data[i] == 0, "byte %u is not zero, unmap %u", i, unmap);
  }
  *range = (struct blk_range){blk.capacity - 1, 2, 0};
  u32 status = blk_transfer(&blk, 0, BLK_WRITE_ZEROES, 0, range, sizeof *range, false);
  CHECK(status == BLK_IOERR, "beyond the capacity: status 0x%x, not IOERR", status);
  *range = (struct blk_range){1102, 1, 2};
  status = blk_transfer(&blk, 0, BLK_WRITE_ZEROES, 0, range, sizeof *range, false);
  CHECK(status == BLK_UNSUPP, "with an unknown flag: status 0x%x, not UNSUPP", status);
  return TEST_PASS;
}

static enum test_result beyond_capacity(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  u8* data = dma_alloc(4096);
  u64 sectors[] = {blk.capacity, blk.capacity + 1000, 1ull << 55, 1ull << 63, ~0ull};
  for (u32 i = 0; i < COUNT_OF(sectors); ++i) {
    u32 status = blk_read(&blk, sectors[i], data, SECTOR);
    CHECK(status == BLK_IOERR, "reading sector 0x%lx: status 0x%x, not IOERR", sectors[i], status);
    status = blk_write(&blk, sectors[i], data, SECTOR);
    CHECK(status == BLK_IOERR, "writing sector 0x%lx: status 0x%x, not IOERR", sectors[i], status);
  }
  u32 status = blk_read(&blk, blk.capacity - 1, data, 2 * SECTOR);
  CHECK(status == BLK_IOERR, "reading across the end: status 0x%x, not IOERR", status);
  return TEST_PASS;
}

static enum test_result unknown_type(void) {
  static const u32 kTypes[] = {2, 3, 5, 100, 0x80000000, 0xffffffff};
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  u8* data = dma_alloc(4096);
  for (u32 i = 0; i < COUNT_OF(kTypes); ++i) {
    u32 status = blk_transfer(&blk, 0, kTypes[i], 0, data, SECTOR, true);
    CHECK(status == BLK_UNSUPP, "type 0x%x: status 0x%x, not UNSUPP", kTypes[i], status);
  }
  return TEST_PASS;
}

static enum test_result odd_length(void) {
  static const u32 kLengths[] = {1, 511, 513, 1000};
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  u8* data = dma_alloc(4096);
  for (u32 i = 0; i < COUNT_OF(kLengths); ++i) {
    u32 status = blk_read(&blk, 0, data, kLengths[i]);
    CHECK(status == BLK_IOERR, "reading %u bytes: status 0x%x, not IOERR", kLengths[i], status);
    status = blk_write(&blk, 0, data, kLengths[i]);
    CHECK(status == BLK_IOERR, "writing %u bytes: status 0x%x, not IOERR", kLengths[i], status);
  }
  return TEST_PASS;
}

static enum test_result read_only(void) {
  OPEN(&blk, BLK_ALL_FEATURES & ~BLK_FEATURE_RO, 1, 64);
  if (!(blk.offered & BLK_FEATURE_RO)) return test_skip("the device does not offer RO");
  u8* before = dma_alloc(4096);
  u8* data = dma_alloc(4096);
  CHECK(blk_read(&blk, 0, before, SECTOR) == BLK_OK, "a read fails");
  memset(data, 0x11, SECTOR);
  u32 status = blk_write(&blk, 0, data, SECTOR);
  CHECK(status == BLK_IOERR, "writing with RO not acknowledged: status 0x%x, not IOERR", status);
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  status = blk_write(&blk, 0, data, SECTOR);
  CHECK(status == BLK_IOERR, "writing with RO acknowledged: status 0x%x, not IOERR", status);
  CHECK(blk_read(&blk, 0, data, SECTOR) == BLK_OK, "a read after the refused write fails");
  CHECK(memcmp(before, data, SECTOR) == 0, "sector 0 changed");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"identity", identity},
    {"capacity", capacity},
    {"write_read", write_read},
    {"scatter_gather", scatter_gather},
    {"framing", framing},
    {"used_length", used_length},
    {"flush", flush},
    {"write_through", write_through},
    {"get_id", get_id},
    {"discard", discard},
    {"write_zeroes", write_zeroes},
    {"beyond_capacity", beyond_capacity},
    {"unknown_type", unknown_type},
    {"odd_length", odd_length},
};
static const struct test kReadOnlyTests[] = {{"read_only", read_only}};

const struct theme theme_basics = {"basics", kTests, COUNT_OF(kTests), true};
const struct theme theme_readonly = {"readonly", kReadOnlyTests, COUNT_OF(kReadOnlyTests), true};
