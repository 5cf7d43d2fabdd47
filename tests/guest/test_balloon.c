// A balloon and a source of random bytes, driven as a driver would and as no driver should (virtio 1.2 §5.5, §5.4).
#include "machine.h"
#include "memory.h"
#include "ring.h"
#include "test.h"

enum { RNG_ID = 4, BALLOON_ID = 5 };
enum { INFLATE, DEFLATE, STATS, REPORTING };
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4 };
#define BALLOON_FEATURES (1ull << 1 | 1ull << 5)  // statistics and reporting
#define PAGE 4096u

static struct virtio_mmio device;
static struct ring rings[4];

// Finds the device of that id, resets it and sets all its queues up. NULL, or what went wrong.
static const char* open_device(u32 id, u64 features, u16 queues) {
  bool found = false;
  for (u32 n = 0; !found && virtio_mmio_word(n, &device.base, &device.gsi); ++n) {
    found = virtio_read(&device, MMIO_MAGIC) == 0x74726976 && virtio_read(&device, MMIO_DEVICE_ID) == id;
  }
  if (!found) return "no device of that type in the virtio_mmio.device words";
  if (!virtio_reset(&device)) return "Status does not read 0 after a reset";
  virtio_write(&device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  if ((virtio_device_features(&device) & features) != features) return "a feature is not offered";
  virtio_set_driver_features(&device, features | FEATURE_VERSION_1);
  virtio_add_status(&device, STATUS_FEATURES_OK);
  for (u16 i = 0; i < queues; ++i) {
    if (!ring_setup(&rings[i], &device, i, 64, false)) return "QueueReady does not read 1 after a correct setup";
  }
  virtio_add_status(&device, STATUS_DRIVER_OK);
  return virtio_needs_reset(&device) ? "the device needs a reset from the start" : NULL;
}

#define OPEN_DEVICE(...)                        \
  do {                                          \
    const char* why = open_device(__VA_ARGS__); \
    CHECK(!why, "%s", why);                     \
  } while (0)
#define OPEN_BALLOON() OPEN_DEVICE(BALLOON_ID, BALLOON_FEATURES, 4)
#define OPEN_RNG() OPEN_DEVICE(RNG_ID, 0, 1)

enum end { END_SERVED, END_BROKEN, END_SILENCE };

// Makes a chain available and waits for what becomes of it; `length` gets the used length.
static enum end submit(struct ring* ring, const struct segment* segments, u32 count, u32* length) {
  struct ring_used_element element;
  ring_push(ring, ring_add(ring, segments, count));
  ring_notify(ring);
  u64 start = tsc_read();
  do {
    if (ring_poll(ring, &element)) {
      *length = element.length;
      return END_SERVED;
    }
    if (virtio_needs_reset(&device)) return END_BROKEN;
    cpu_pause();
  } while (tsc_read() - start < timeout_ticks());
  return END_SILENCE;
}

static enum end submit_one(struct ring* ring, const void* data, u32 length, bool device_writes) {
  struct segment segment = {physical(data), length, device_writes};
  u32 used;
  return submit(ring, &segment, 1, &used);
}

static u8* marked(u32 pages) {
  u8* memory = dma_alloc(pages * PAGE);
  memset(memory, 0x5a, pages * PAGE);
  return memory;
}

static bool all(const volatile u8* bytes, u32 count, u8 value) {
  for (u32 i = 0; i < count; ++i) {
    if (bytes[i] != value) return false;
  }
  return true;
}

// The device does what it is for.
static enum test_result balloon_serves(void) {
  u8* pages = marked(6);
  u32* frames = dma_alloc(PAGE);
  u32 first = (u32)(physical(pages) / PAGE), length;
  frames[0] = first + 4;
  frames[1] = first + 1;
  frames[2] = first + 2;
  frames[3] = first + 1;
  // Cut in the middle of a number: framing means nothing (§2.7.4.1)
  struct segment segments[2] = {{physical(frames), 6, false}, {physical(frames) + 6, 10, false}};
  CHECK(submit(&rings[INFLATE], segments, 2, &length) == END_SERVED, "inflate is not served");
  CHECK(length == 0, "inflate wrote %u bytes", length);
  CHECK(all(pages, PAGE, 0x5a) && all(pages + 3 * PAGE, PAGE, 0x5a) && all(pages + 5 * PAGE, PAGE, 0x5a),
        "a page that was not given is gone");
  CHECK(all(pages + PAGE, 2 * PAGE, 0) && all(pages + 4 * PAGE, PAGE, 0), "a page that was given is still there");
  CHECK(submit_one(&rings[DEFLATE], frames, 16, false) == END_SERVED, "deflate is not served");
  memset(pages, 0x77, 6 * PAGE);
  CHECK(all(pages, 6 * PAGE, 0x77), "memory taken back does not keep what is written");
  CHECK(submit_one(&rings[REPORTING], pages + PAGE, 2 * PAGE, true) == END_SERVED, "a report is not served");
  CHECK(all(pages, PAGE, 0x77) && all(pages + PAGE, 2 * PAGE, 0) && all(pages + 3 * PAGE, PAGE, 0x77),
        "a report frees other pages than it names");
  return TEST_PASS;
}

static enum test_result balloon_basics(void) {
  OPEN_BALLOON();
  return balloon_serves();
}

// Page numbers that are not RAM are skipped, those among them that are RAM count.
static enum test_result balloon_frames_outside(void) {
  OPEN_BALLOON();
  u8* page = marked(1);
  u32 end = (u32)(machine.top_ram_end / PAGE);
  const u32 frames[] = {0xffffffff, 0xfffffffe,
                        0x80000000, end,
                        end + 1,    (u32)(device.base / PAGE),
                        0xfee00,    (u32)(physical(page) / PAGE),
                        0x7fffffff, 0x100000,
                        0xfffff,    0xffffffff};
  u32* request = dma_alloc(PAGE);
  memcpy(request, frames, sizeof frames);
  for (u32 queue = INFLATE; queue <= DEFLATE; ++queue) {
    CHECK(submit_one(&rings[queue], request, sizeof frames, false) == END_SERVED, "queue %u gives up", queue);
  }
  CHECK(all(page, PAGE, 0), "the page among them is still there");
  return balloon_serves();
}

static enum test_result balloon_odd_requests(void) {
  OPEN_BALLOON();
  u8* page = marked(1);
  u32* frames = dma_alloc(PAGE);
  frames[0] = 0xffffffff;
  frames[1] = (u32)(physical(page) / PAGE);
  static const u32 kLengths[] = {1, 2, 3, 4, 5, 7};
  for (u32 queue = INFLATE; queue <= DEFLATE; ++queue) {
    for (u32 i = 0; i < COUNT_OF(kLengths); ++i) {
      CHECK(submit_one(&rings[queue], frames, kLengths[i], false) == END_SERVED, "%u bytes are not served",
            kLengths[i]);
    }
    // Nothing for the device to read
    CHECK(submit_one(&rings[queue], frames, 8, true) == END_SERVED, "a buffer to write into is not served");
  }
  CHECK(submit_one(&rings[REPORTING], page, PAGE, false) == END_SERVED, "a report of nothing is not served");
  CHECK(all(page, PAGE, 0x5a), "half a page number has freed a page");
  // Parts of a page: no byte beside them
  CHECK(submit_one(&rings[REPORTING], page + 100, 200, true) == END_SERVED, "a report of a part is not served");
  CHECK(all(page, 100, 0x5a) && all(page + 300, PAGE - 300, 0x5a), "a report has freed more than it names");
  return balloon_serves();
}

static enum test_result balloon_too_long(void) {
  OPEN_BALLOON();
  u32 bytes = 65537 * 4;
  u8* frames = dma_alloc(bytes);
  memset(frames, 0xff, bytes);
  CHECK(submit_one(&rings[INFLATE], frames, bytes - 4, false) == END_SERVED, "65536 page numbers are not served");
  CHECK(submit_one(&rings[INFLATE], frames, bytes, false) == END_BROKEN, "65537 page numbers do not break the device");
  CHECK(submit_one(&rings[INFLATE], frames, 4, false) == END_BROKEN, "a broken device goes on");
  OPEN_BALLOON();
  return balloon_serves();
}

// A guest that gives away the rings it talks with.
static enum test_result balloon_own_rings(void) {
  for (u32 turn = 0; turn < 8; ++turn) {
    OPEN_BALLOON();
    u32* frames = dma_alloc(PAGE);
    struct ring* ring = &rings[INFLATE];
    u32 first = (u32)(physical(ring->desc) / PAGE);
    u32 last = (u32)((physical(ring->used) + 6 + 8 * ring->size - 1) / PAGE), count = 0;
    for (u32 frame = first; frame <= last; ++frame) frames[count++] = frame;
    frames[count++] = (u32)(physical(frames) / PAGE);
    // What becomes of the request is the guest's loss; the device comes back after a reset
    enum end end = submit_one(ring, frames, 4 * count, false);
    CHECK(end != END_SILENCE || !virtio_needs_reset(&device), "turn %u", turn);
  }
  OPEN_BALLOON();
  return balloon_serves();
}

static enum test_result balloon_configuration(void) {
  OPEN_BALLOON();
  u64 base = device.base + MMIO_CONFIG;
  u32 pages = (u32)(machine.top_ram_end / PAGE);
  u32 target = virtio_read(&device, MMIO_CONFIG + CONFIG_NUM_PAGES);
  mmio_write32(base + CONFIG_NUM_PAGES, 0x12345678);
  CHECK(virtio_read(&device, MMIO_CONFIG + CONFIG_NUM_PAGES) == target, "the driver can change num_pages");
  static const u32 kValues[] = {0xffffffff, 0x80000000, 0x7fffffff, 5, 0};
  for (u32 i = 0; i < COUNT_OF(kValues); ++i) {
    mmio_write32(base + CONFIG_ACTUAL, kValues[i]);
    u32 actual = virtio_read(&device, MMIO_CONFIG + CONFIG_ACTUAL);
    CHECK(kValues[i] == 5 || kValues[i] == 0 ? actual == kValues[i] : actual <= pages, "actual 0x%x reads 0x%x",
          kValues[i], actual);
  }
  mmio_write8(base + CONFIG_ACTUAL + 3, 0xff);
  mmio_write16(base + CONFIG_ACTUAL + 2, 0xffff);
  mmio_write16(base + CONFIG_ACTUAL + 3, 0xffff);
  mmio_write64(base + CONFIG_ACTUAL, ~0ull);
  mmio_write64(base, ~0ull);
  for (u32 offset = 8; offset < 0x40; ++offset) mmio_write8(base + offset, 0xff);
  CHECK(virtio_read(&device, MMIO_CONFIG + CONFIG_ACTUAL) <= pages, "actual is more than there is");
  mmio_write32(base + CONFIG_ACTUAL, 0);
  return balloon_serves();
}

// One buffer is kept until statistics are wanted; a second one brings the first back.
static enum test_result balloon_statistics(void) {
  OPEN_BALLOON();
  u32 bytes = 256 * 1024;
  u8* garbage = dma_alloc(bytes);
  memset(garbage, 0xfe, bytes);
  struct ring* ring = &rings[STATS];
  struct ring_used_element element;
  struct segment segment = {physical(garbage), bytes, false};
  u16 before = ring_add(ring, &segment, 1);
  ring_push(ring, before);
  ring_notify(ring);
  for (u32 i = 0; i < 200; ++i) {
    segment.length = i % 4 ? i : bytes;
    if (segment.length == 0) segment.length = 1;
    segment.device_writes = i % 5 == 0;
    u16 head = ring_add(ring, &segment, 1);
    ring_push(ring, head);
    ring_notify(ring);
    CHECK(ring_wait(ring, &element) && element.id == before, "buffer %u does not come back", i);
    before = head;
  }
  CHECK(!ring_poll(ring, &element), "the last buffer was not kept");
  return balloon_serves();
}

static enum test_result rng_serves(void) {
  u8* bytes = dma_alloc(2 * PAGE);
  struct segment segments[3] = {
      {physical(bytes), 100, true}, {physical(bytes) + 1000, 1, true}, {physical(bytes) + PAGE, 2000, true}};
  u32 length, filled = 0;
  CHECK(submit(&rings[0], segments, 3, &length) == END_SERVED, "a request is not served");
  CHECK(length == 2101, "2101 bytes were asked for, %u came", length);
  CHECK(all(bytes + 100, 900, 0) && all(bytes + 1001, PAGE - 1001, 0) && all(bytes + PAGE + 2000, PAGE - 2000, 0),
        "bytes beside the buffers were written");
  for (u32 i = 0; i < 2000; ++i) filled += bytes[PAGE + i] != 0;
  CHECK(filled > 1900, "%u of 2000 random bytes are 0", 2000 - filled);
  return TEST_PASS;
}

static enum test_result rng_basics(void) {
  OPEN_RNG();
  return rng_serves();
}

// At most 1 MiB a request; the rest of the buffer stays as it is.
static enum test_result rng_long_request(void) {
  OPEN_RNG();
  u32 most = 1u << 20, length;
  u8* bytes = dma_alloc(most + 2 * PAGE);
  memset(bytes + most, 0x5a, 2 * PAGE);
  struct segment segments[2] = {{physical(bytes), most / 2 + 7, true},
                                {physical(bytes) + most / 2 + 7, most / 2 + PAGE, true}};
  CHECK(submit(&rings[0], segments, 2, &length) == END_SERVED, "a long request is not served");
  CHECK(length == most, "%u bytes came", length);
  CHECK(all(bytes + most, 2 * PAGE, 0x5a), "more than 1 MiB was written");
  CHECK(!all(bytes + most - 64, 64, 0), "the last of them are 0");
  return rng_serves();
}

static enum test_result rng_odd_requests(void) {
  OPEN_RNG();
  u8* bytes = marked(1);
  for (u32 i = 0; i < 100; ++i) {
    struct segment segment = {physical(bytes), 64, false};
    u32 length;
    CHECK(submit(&rings[0], &segment, 1, &length) == END_SERVED && length == 0, "a request without room");
  }
  CHECK(all(bytes, PAGE, 0x5a), "what is only to be read was written");
  // A configuration that is not there
  for (u32 offset = 0; offset < 0x20; ++offset) mmio_write8(device.base + MMIO_CONFIG + offset, 0xff);
  TRY(rng_serves());
  // Outside memory
  struct segment outside = {machine.top_ram_end - 4, 8, true};
  u32 length;
  CHECK(submit(&rings[0], &outside, 1, &length) == END_BROKEN, "a buffer outside memory does not break the device");
  OPEN_RNG();
  return rng_serves();
}

// The driver lets go of the device while it is at work.
static enum test_result rng_reset_in_flight(void) {
  u8* bytes = dma_alloc(1u << 20);
  for (u32 turn = 0; turn < 20; ++turn) {
    OPEN_RNG();
    struct segment segment = {physical(bytes), 1u << 20, true};
    for (u32 i = 0; i < 8; ++i) ring_push(&rings[0], ring_add(&rings[0], &segment, 1));
    ring_notify(&rings[0]);
    delay_ticks(turn * 100000);
    CHECK(virtio_reset(&device), "Status does not read 0 after a reset");
    // Nothing is written any more
    memset(bytes, 0x5a, PAGE);
    delay_ticks(100000);
    CHECK(all(bytes, PAGE, 0x5a), "a device that was reset has written");
  }
  dma_release_all();
  OPEN_RNG();
  return rng_serves();
}

static const struct test kBalloonTests[] = {
    {"balloon_basics", balloon_basics},
    {"balloon_frames_outside", balloon_frames_outside},
    {"balloon_odd_requests", balloon_odd_requests},
    {"balloon_too_long", balloon_too_long},
    {"balloon_own_rings", balloon_own_rings},
    {"balloon_configuration", balloon_configuration},
    {"balloon_statistics", balloon_statistics},
};
static const struct test kRngTests[] = {
    {"rng_basics", rng_basics},
    {"rng_long_request", rng_long_request},
    {"rng_odd_requests", rng_odd_requests},
    {"rng_reset_in_flight", rng_reset_in_flight},
};

const struct theme theme_balloon = {"balloon", kBalloonTests, COUNT_OF(kBalloonTests), false};
const struct theme theme_rng = {"rng", kRngTests, COUNT_OF(kRngTests), false};
