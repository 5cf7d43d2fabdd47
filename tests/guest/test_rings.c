// Ways of using rings: indirect descriptors, event index, interrupts, several queues, resets.
#include "blk.h"
#include "interrupts.h"
#include "machine.h"
#include "memory.h"
#include "test.h"

static struct blk blk;

// Requests of 512 bytes that can be under way at once, each with a data page of its own.
enum { BATCH = 64 };
static struct blk_request* batch_requests;
static u8* batch_data;

static void batch_alloc(void) {
  batch_requests = dma_alloc(BATCH * sizeof(struct blk_request));
  batch_data = dma_alloc(BATCH * SECTOR);
}

// Pushes request `slot` of the batch to `queue`, without a notification.
static void batch_push(u16 queue, u32 slot, u32 type, u64 sector) {
  struct blk_request* request = &batch_requests[slot];
  blk_prepare(request, type, sector);
  struct segment segments[3] = {{physical(&request->header), sizeof request->header, false},
                                {physical(batch_data + slot * SECTOR), SECTOR, type == BLK_IN},
                                {physical(&request->status), 1, true}};
  ring_push(&blk.queues[queue], ring_add(&blk.queues[queue], segments, 3));
}

// Notifies when asked to, and takes `count` answers.
static bool batch_finish(u16 queue, u32 count) {
  struct ring_used_element element;
  if (ring_wants_notification(&blk.queues[queue])) ring_notify(&blk.queues[queue]);
  for (u32 i = 0; i < count; ++i) {
    if (!ring_wait(&blk.queues[queue], &element)) return false;
  }
  return true;
}

static enum test_result many_in_flight(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, RING_MAX_SIZE);
  NEED_WRITABLE(&blk);
  batch_alloc();
  u32 depth = blk.queues[0].size / 3u;
  if (depth > BATCH) depth = BATCH;
  for (u32 i = 0; i < depth; ++i) {
    pattern_fill(batch_data + i * SECTOR, 2000 + i, SECTOR, 0xabc);
    batch_push(0, i, BLK_OUT, 2000 + i);
  }
  CHECK(batch_finish(0, depth), "not all of %u writes were answered", depth);
  for (u32 i = 0; i < depth; ++i)
    CHECK(batch_requests[i].status == BLK_OK, "write %u: status 0x%x", i, batch_requests[i].status);
  zero_memory(batch_data, BATCH * SECTOR);
  for (u32 i = 0; i < depth; ++i) batch_push(0, i, BLK_IN, 2000 + depth - 1 - i);
  CHECK(batch_finish(0, depth), "not all of %u reads were answered", depth);
  for (u32 i = 0; i < depth; ++i) {
    CHECK(batch_requests[i].status == BLK_OK, "read %u: status 0x%x", i, batch_requests[i].status);
    CHECK(pattern_matches(batch_data + i * SECTOR, 2000 + depth - 1 - i, SECTOR, 0xabc), "read %u got other data", i);
  }
  CHECK(blk.queues[0].free_count == blk.queues[0].size, "an answer named a wrong head");
  return TEST_PASS;
}

// Small rings, so that their indices pass the end many times.
static enum test_result ring_wrap(void) {
  static const u16 kSizes[] = {4, 8, 64};
  u8* data = dma_alloc(4096);
  for (u32 s = 0; s < COUNT_OF(kSizes); ++s) {
    OPEN(&blk, BLK_ALL_FEATURES, 1, kSizes[s]);
    for (u32 i = 0; i < 100; ++i) {
      u32 status = blk_read(&blk, i % 32, data, SECTOR);
      CHECK(status == BLK_OK, "ring of %u, request %u: status 0x%x", kSizes[s], i, status);
    }
  }
  return TEST_PASS;
}

static enum test_result indirect(void) {
  static struct ring_desc table[130] __attribute__((aligned(16)));
  OPEN(&blk, FEATURE_INDIRECT_DESC | BLK_FEATURE_SEG_MAX | BLK_FEATURE_RO, 1, RING_MAX_SIZE);
  if (!(blk.features & FEATURE_INDIRECT_DESC)) return test_skip("INDIRECT_DESC is not offered");
  struct blk_request* request = dma_alloc(sizeof *request);
  u8* data = dma_alloc(65536);
  u8* plain = dma_alloc(65536);
  u32 counts[] = {1, 8, 32, 126};
  CHECK(blk_read(&blk, 0, plain, 65024) == BLK_OK, "a plain read fails");
  for (u32 c = 0; c < COUNT_OF(counts); ++c) {
    u32 count = counts[c];
    if (count + 2 > blk.queues[0].size) continue;
    struct segment segments[130];
    blk_prepare(request, BLK_IN, 0);
    segments[0] = (struct segment){physical(&request->header), sizeof request->header, false};
    for (u32 i = 0; i < count; ++i) segments[1 + i] = (struct segment){physical(data + i * SECTOR), SECTOR, true};
    segments[1 + count] = (struct segment){physical(&request->status), 1, true};
    zero_memory(data, count * SECTOR);
    u16 head = ring_add_indirect(&blk.queues[0], table, segments, count + 2);
    ring_push(&blk.queues[0], head);
    ring_notify(&blk.queues[0]);
    struct ring_used_element element;
    CHECK(ring_wait(&blk.queues[0], &element), "%u segments: no answer", count);
    CHECK(element.id == head && request->status == BLK_OK, "%u segments: status 0x%x", count, request->status);
    CHECK(memcmp(data, plain, count * SECTOR) == 0, "%u segments: the data differs", count);
  }
  return TEST_PASS;
}

static volatile u32 interrupts, interrupt_reasons;

static void on_interrupt(void* argument) {
  const struct virtio_mmio* device = argument;
  u32 status = virtio_read(device, MMIO_INTERRUPT_STATUS);
  virtio_write(device, MMIO_INTERRUPT_ACK, status);
  interrupt_reasons |= status;
  ++interrupts;
}

// Waits with interrupts on until `count` arrived; goes on a little after that, to see whether more come.
static u32 interrupts_within(u32 count) {
  u64 start = tsc_read();
  interrupts_enable();
  while (interrupts < count && tsc_read() - start < timeout_ticks()) cpu_pause();
  delay_ticks(20000000);
  interrupts_disable();
  return interrupts;
}

static void interrupts_begin(void) {
  interrupts = interrupt_reasons = 0;
  interrupts_connect(blk.device.gsi, on_interrupt, &blk.device);
}

#define NEED_INTERRUPT()                                            \
  do {                                                              \
    if (blk.device.gsi >= 24) return test_skip("no irq= below 24"); \
  } while (0)

static enum test_result interrupt_body(void) {
  batch_alloc();
  for (u32 round = 1; round <= 5; ++round) {
    batch_push(0, 0, BLK_IN, round);
    CHECK(batch_finish(0, 1), "no answer to request %u", round);
    u32 seen = interrupts_within(round);
    CHECK(seen == round, "%u interrupts after %u requests", seen, round);
    CHECK(interrupt_reasons == INTERRUPT_USED, "InterruptStatus was 0x%x", interrupt_reasons);
    // The used-buffer bit may outlive its acknowledgement: a driver takes notifications without new used buffers.
    u32 left = virtio_read(&blk.device, MMIO_INTERRUPT_STATUS) & ~INTERRUPT_USED;
    CHECK(left == 0, "InterruptStatus has 0x%x after InterruptACK", left);
  }
  return TEST_PASS;
}

static enum test_result interrupt(void) {
  OPEN(&blk, 0, 1, 64);
  NEED_INTERRUPT();
  interrupts_begin();
  enum test_result result = interrupt_body();
  interrupts_disconnect(blk.device.gsi);
  return result;
}

// §2.7.7: with flags 1 the device should send none.
static enum test_result no_interrupt_body(void) {
  batch_alloc();
  *ring_avail_flags(&blk.queues[0]) = 1;
  batch_push(0, 0, BLK_IN, 0);
  CHECK(batch_finish(0, 1), "no answer");
  u32 seen = interrupts_within(0);
  CHECK(seen == 0, "%u interrupts in spite of NO_INTERRUPT", seen);
  *ring_avail_flags(&blk.queues[0]) = 0;
  batch_push(0, 0, BLK_IN, 0);
  CHECK(batch_finish(0, 1), "no answer");
  seen = interrupts_within(1);
  CHECK(seen == 1, "%u interrupts, not 1, after NO_INTERRUPT was cleared", seen);
  return TEST_PASS;
}

static enum test_result no_interrupt(void) {
  OPEN(&blk, 0, 1, 64);
  NEED_INTERRUPT();
  interrupts_begin();
  enum test_result result = no_interrupt_body();
  interrupts_disconnect(blk.device.gsi);
  return result;
}

// §2.7.7.2: with EVENT_IDX an interrupt comes when used->idx passes used_event, and only then.
static enum test_result event_index_body(void) {
  struct ring* ring = &blk.queues[0];
  batch_alloc();
  *ring_used_event(ring) = ring->used_idx;
  batch_push(0, 0, BLK_IN, 0);
  CHECK(batch_finish(0, 1), "no answer");
  u32 seen = interrupts_within(1);
  CHECK(seen == 1, "%u interrupts, not 1, with used_event at the next element", seen);
  *ring_used_event(ring) = (u16)(ring->used_idx + 100);
  for (u32 i = 0; i < 5; ++i) {
    batch_push(0, 0, BLK_IN, i);
    CHECK(batch_finish(0, 1), "no answer");
  }
  seen = interrupts_within(1) - 1;
  CHECK(seen == 0, "%u interrupts with used_event 100 ahead", seen);
  *ring_used_event(ring) = (u16)(ring->used_idx + 3);
  for (u32 i = 0; i < 6; ++i) {
    batch_push(0, 0, BLK_IN, i);
    CHECK(batch_finish(0, 1), "no answer");
  }
  seen = interrupts_within(2) - 1;
  CHECK(seen == 1, "%u interrupts, not 1, for 6 requests with used_event at the fourth", seen);
  return TEST_PASS;
}

static enum test_result event_index(void) {
  OPEN(&blk, FEATURE_EVENT_IDX, 1, 64);
  if (!(blk.features & FEATURE_EVENT_IDX)) return test_skip("EVENT_IDX is not offered");
  NEED_INTERRUPT();
  interrupts_begin();
  enum test_result result = event_index_body();
  interrupts_disconnect(blk.device.gsi);
  return result;
}

// A driver that notifies only when avail_event asks for it never waits in vain; one that sets used_event to anything at
// all is served as well.
static enum test_result event_index_kicks(void) {
  OPEN(&blk, FEATURE_EVENT_IDX, 1, 64);
  if (!(blk.features & FEATURE_EVENT_IDX)) return test_skip("EVENT_IDX is not offered");
  batch_alloc();
  u16 bogus = 0;
  for (u32 round = 0; round < 60; ++round) {
    u32 depth = 1 + round % 16;
    *ring_used_event(&blk.queues[0]) = bogus;
    bogus = (u16)(bogus * 5 + 12345);
    for (u32 i = 0; i < depth; ++i) batch_push(0, i, BLK_IN, i);
    CHECK(batch_finish(0, depth), "round %u of %u requests stands still", round, depth);
  }
  return TEST_PASS;
}

static enum test_result multi_queue(void) {
  OPEN(&blk, BLK_ALL_FEATURES, RING_MAX_QUEUES, 64);
  NEED_WRITABLE(&blk);
  if (blk.queue_count < 2) return test_skip("the device has one queue");
  batch_alloc();
  for (u16 queue = 0; queue < blk.queue_count; ++queue) {
    for (u32 i = 0; i < 4; ++i) {
      u64 sector = 3000 + queue * 4u + i;
      pattern_fill(batch_data + (queue * 4u + i) * SECTOR, sector, SECTOR, 0x900d);
      batch_push(queue, queue * 4u + i, BLK_OUT, sector);
    }
  }
  for (u16 queue = 0; queue < blk.queue_count; ++queue) CHECK(batch_finish(queue, 4), "queue %u stands still", queue);
  zero_memory(batch_data, BATCH * SECTOR);
  // Every queue reads what another one wrote.
  for (u16 queue = 0; queue < blk.queue_count; ++queue) {
    u32 other = (queue + 1u) % blk.queue_count;
    for (u32 i = 0; i < 4; ++i) batch_push(queue, queue * 4u + i, BLK_IN, 3000 + other * 4 + i);
    CHECK(batch_finish(queue, 4), "queue %u stands still", queue);
    for (u32 i = 0; i < 4; ++i) {
      u32 slot = queue * 4u + i;
      CHECK(batch_requests[slot].status == BLK_OK, "queue %u: status 0x%x", queue, batch_requests[slot].status);
      CHECK(pattern_matches(batch_data + slot * SECTOR, 3000 + other * 4 + i, SECTOR, 0x900d), "queue %u: wrong data",
            queue);
    }
  }
  return TEST_PASS;
}

static enum test_result reset_loop(void) {
  u8* data = dma_alloc(4096);
  for (u32 i = 0; i < 20; ++i) {
    OPEN(&blk, i & 1 ? BLK_ALL_FEATURES : 0, i & 2 ? RING_MAX_QUEUES : 1, (u16)(4u << i % 6));
    u32 status = blk_read(&blk, i, data, SECTOR);
    CHECK(status == BLK_OK, "round %u: status 0x%x", i, status);
  }
  return TEST_PASS;
}

// §2.4.1: once Status reads 0 after a reset the device touches neither rings nor buffers.
static enum test_result reset_in_flight(void) {
  batch_alloc();
  for (u32 round = 0; round < 20; ++round) {
    OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
    for (u32 i = 0; i < 16; ++i) batch_push(0, i, BLK_IN, 8 * i);
    ring_notify(&blk.queues[0]);
    delay_ticks(round * 20000);
    CHECK(virtio_reset(&blk.device), "round %u: Status does not read 0 after a reset", round);
    u16 used = blk.queues[0].used[1];
    memset(batch_data, 0x3c, 16 * SECTOR);
    for (u32 i = 0; i < 16; ++i) batch_requests[i].status = BLK_UNTOUCHED;
    delay_ticks(3000000);
    CHECK(blk.queues[0].used[1] == used, "round %u: the used ring moved after the reset", round);
    for (u32 i = 0; i < 16; ++i) {
      CHECK(batch_requests[i].status == BLK_UNTOUCHED, "round %u: a status byte was written after the reset", round);
    }
    for (u32 i = 0; i < 16 * SECTOR; i += 64) {
      CHECK(batch_data[i] == 0x3c, "round %u: data was written after the reset", round);
    }
  }
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  CHECK(blk_read(&blk, 0, batch_data, SECTOR) == BLK_OK, "a read after the last reset fails");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"many_in_flight", many_in_flight},
    {"ring_wrap", ring_wrap},
    {"indirect", indirect},
    {"interrupt", interrupt},
    {"no_interrupt", no_interrupt},
    {"event_index", event_index},
    {"event_index_kicks", event_index_kicks},
    {"multi_queue", multi_queue},
    {"reset_loop", reset_loop},
    {"reset_in_flight", reset_in_flight},
};

const struct theme theme_rings = {"rings", kTests, COUNT_OF(kTests), true};
