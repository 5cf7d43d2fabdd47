// Rings no driver should set up or publish (virtio 1.2 §2.7, §4.2.2). The device must refuse or break, must not take
// the machine with it, and must work again after a reset.
#include "hostile.h"
#include "machine.h"
#include "memory.h"

static enum test_result avail_index_jump(void) {
  static const u16 kJumps[] = {65, 256, 0x8000, 0xffff};
  for (u32 i = 0; i < COUNT_OF(kJumps); ++i) {
    HOSTILE_OPEN();
    struct ring* ring = &hostile_blk.queues[0];
    for (u16 k = 0; k < ring->size; ++k) ring->avail[2 + k] = 0;
    // The requests are given an unknown type, so that whatever is taken from the ring comes back with an error.
    hostile_request->header.type = 0x55;
    ring->avail[1] = kJumps[i];
    ring_notify(ring);
    enum hostile_outcome outcome = hostile_outcome(timeout_ticks());
    RECOVER("the device does not recover");
    CHECK(outcome != OUTCOME_COMPLETED && outcome != OUTCOME_SILENCE, "idx %u ahead was accepted or ignored",
          kJumps[i]);
  }
  return TEST_PASS;
}

static enum test_result avail_index_backwards(void) {
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  CHECK(hostile_kick(0, timeout_ticks()) == OUTCOME_COMPLETED, "a correct read fails");
  ++ring->used_idx;
  ring->avail[1] = 0;
  ring_notify(ring);
  hostile_request->header.type = 0x55;
  enum hostile_outcome outcome = hostile_outcome(timeout_ticks());
  RECOVER("the device does not recover");
  CHECK(outcome == OUTCOME_BROKEN || outcome == OUTCOME_REFUSED, "an index that goes back was accepted or ignored");
  return TEST_PASS;
}

static enum test_result head_out_of_range(void) {
  static const u16 kHeads[] = {64, 65, 255, 256, 0x8000, 0xffff};
  for (u32 i = 0; i < COUNT_OF(kHeads); ++i) {
    HOSTILE_OPEN();
    TRY(hostile_expect_refusal(kHeads[i]));
  }
  return TEST_PASS;
}

// The same head twice: each answered at most once for each time it was given.
static enum test_result head_repeated(void) {
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  for (u32 i = 0; i < 8; ++i) ring_push(ring, 0);
  ring_notify(ring);
  u64 start = tsc_read();
  while (ring->used[1] != 8 && !virtio_needs_reset(&hostile_blk.device) && tsc_read() - start < timeout_ticks())
    cpu_pause();
  delay_ticks(SHORT_WAIT_TICKS);
  u16 used = ring->used[1];
  bool broken = virtio_needs_reset(&hostile_blk.device);
  RECOVER("the device does not recover");
  CHECK(broken || used == 8, "8 heads gave %u answers", used);
  return TEST_PASS;
}

// Sets up queue 0 from nothing with these numbers, sets DRIVER_OK and notifies. Whatever the device makes of it, it
// must come back after a reset. Says whether a request in the usual place was answered.
static enum test_result odd_setup(u32 size, u64 desc, u64 avail, u64 used, bool must_not_serve) {
  HOSTILE_OPEN();
  const struct virtio_mmio* device = &hostile_blk.device;
  struct ring* ring = &hostile_blk.queues[0];
  CHECK(virtio_reset(device), "Status does not read 0 after a reset");
  virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  virtio_set_driver_features(device, FEATURE_VERSION_1);
  virtio_add_status(device, STATUS_FEATURES_OK);
  ring_program(device, 0, size, desc, avail, used);
  virtio_add_status(device, STATUS_DRIVER_OK);
  ring_push(ring, 0);
  ring_notify(ring);
  enum hostile_outcome outcome = hostile_outcome(SHORT_WAIT_TICKS);
  RECOVER("the device does not recover");
  CHECK(!must_not_serve || outcome != OUTCOME_COMPLETED, "size %u, rings at 0x%lx 0x%lx 0x%lx: a request was served",
        size, desc, avail, used);
  return TEST_PASS;
}

static enum test_result queue_size_bad(void) {
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  virtio_write(&hostile_blk.device, MMIO_QUEUE_SEL, 0);
  u32 maximum = virtio_read(&hostile_blk.device, MMIO_QUEUE_NUM_MAX);
  u32 sizes[] = {0, 3, 63, 100, maximum + 1, maximum * 2, 32769, 65536, 0x10040, 0x80000000, 0xffffffff};
  for (u32 i = 0; i < COUNT_OF(sizes); ++i) {
    // A device may keep its former size when it refuses one, so serving the request is no fault for most of these.
    TRY(odd_setup(sizes[i], physical(ring->desc), physical(ring->avail), physical(ring->used), false));
  }
  return TEST_PASS;
}

static enum test_result rings_beyond_ram(void) {
  u64 places[] = {machine.top_ram_end + 0x10000, 1ull << 40, 1ull << 63, ~0ull - 0xfff, 0xfee00000};
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  u64 desc = physical(ring->desc), avail = physical(ring->avail), used = physical(ring->used);
  for (u32 i = 0; i < COUNT_OF(places); ++i) {
    TRY(odd_setup(64, places[i], avail, used, true));
    TRY(odd_setup(64, desc, places[i], used, true));
    TRY(odd_setup(64, desc, avail, places[i], true));
  }
  u64 own = hostile_blk.device.base;
  TRY(odd_setup(64, own, avail, used, true));
  TRY(odd_setup(64, desc, own, used, true));
  return odd_setup(64, desc, avail, own, true);
}

static enum test_result rings_across_end_of_ram(void) {
  if (!machine.low_ram_end) return test_skip("the memory map does not say where RAM ends");
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  u64 desc = physical(ring->desc), avail = physical(ring->avail), used = physical(ring->used);
  TRY(odd_setup(64, machine.low_ram_end - 16, avail, used, false));
  TRY(odd_setup(64, desc, machine.low_ram_end - 8, used, false));
  return odd_setup(64, desc, avail, machine.low_ram_end - 4, false);
}

static enum test_result rings_unaligned(void) {
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  u64 desc = physical(ring->desc), avail = physical(ring->avail), used = physical(ring->used);
  for (u32 offset = 1; offset < 16; offset += 2) {
    TRY(odd_setup(64, desc + offset, avail, used, false));
    TRY(odd_setup(64, desc, avail + offset, used, false));
    TRY(odd_setup(64, desc, avail, used + offset, false));
  }
  return TEST_PASS;
}

static enum test_result rings_overlapping(void) {
  HOSTILE_OPEN();
  u64 place = physical(dma_alloc(16384));
  TRY(odd_setup(64, place, place, place, false));
  return odd_setup(64, place, place + 16, place + 32, false);
}

static enum test_result never_ready(void) {
  HOSTILE_OPEN();
  const struct virtio_mmio* device = &hostile_blk.device;
  CHECK(virtio_reset(device), "Status does not read 0 after a reset");
  virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  virtio_set_driver_features(device, FEATURE_VERSION_1);
  virtio_add_status(device, STATUS_FEATURES_OK);
  virtio_add_status(device, STATUS_DRIVER_OK);
  enum hostile_outcome outcome = hostile_kick(0, SHORT_WAIT_TICKS);
  RECOVER("the device does not recover");
  CHECK(outcome != OUTCOME_COMPLETED, "a queue that is not ready served a request");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"avail_index_jump", avail_index_jump},
    {"avail_index_backwards", avail_index_backwards},
    {"head_out_of_range", head_out_of_range},
    {"head_repeated", head_repeated},
    {"queue_size_bad", queue_size_bad},
    {"rings_beyond_ram", rings_beyond_ram},
    {"rings_across_end_of_ram", rings_across_end_of_ram},
    {"rings_unaligned", rings_unaligned},
    {"rings_overlapping", rings_overlapping},
    {"never_ready", never_ready},
};

const struct theme theme_hostile_rings = {"hostile_rings", kTests, COUNT_OF(kTests), true};
