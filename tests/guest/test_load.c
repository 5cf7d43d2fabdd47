// Work without an end of its own, or with one far off: for the host to pause, measure or kill.
#include "blk.h"
#include "console.h"
#include "machine.h"
#include "memory.h"
#include "test.h"

static struct blk blk;

// Prints `TICK <n>` every `every=` iterations (default 100000), for ever.
static void __attribute__((noreturn)) tick_forever(void) {
  u64 every = word_number("every", 100000);
  if (!every) every = 1;
  for (u64 tick = 1;; ++tick) {
    for (u64 i = 0; i < every; ++i) cpu_pause();
    console_printf("TICK %lu\n", tick);
  }
}

static enum test_result spin(void) {
  tick_forever();
}

// `n=` reads of `bytes=` (default 4096), `depth=` at a time (default 1), at scattered places of the disk.
static enum test_result iops(void) {
  u64 count = word_number("n", 1000), depth = word_number("depth", 1), bytes = word_number("bytes", 4096);
  OPEN(&blk, BLK_ALL_FEATURES, 1, RING_MAX_SIZE);
  if (depth < 1 || depth > blk.queues[0].size / 3u) return test_fail("depth= is 1 to %u", blk.queues[0].size / 3u);
  CHECK(bytes && bytes % SECTOR == 0 && bytes * depth <= DMA_ARENA_BYTES - 65536, "bytes= is not usable");
  u64 blocks = blk.capacity * SECTOR / bytes;
  CHECK(blocks, "the disk is smaller than one read");
  struct blk_request* requests = dma_alloc(depth * sizeof *requests);
  u8* data = dma_alloc(depth * bytes);
  struct ring* ring = &blk.queues[0];
  u16 slot_of_head[RING_MAX_SIZE];
  u64 random = 88172645463325252ull, submitted = 0, completed = 0;
  struct ring_used_element element;
  u64 start = tsc_read();
  for (u16 free_slot = 0; completed < count;) {
    while (submitted < count && submitted - completed < depth) {
      u16 slot = submitted < depth ? (u16)submitted : free_slot;
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      blk_prepare(&requests[slot], BLK_IN, random % blocks * (bytes / SECTOR));
      struct segment segments[3] = {{physical(&requests[slot].header), 16, false},
                                    {physical(data + slot * bytes), (u32)bytes, true},
                                    {physical(&requests[slot].status), 1, true}};
      u16 head = ring_add(ring, segments, 3);
      slot_of_head[head] = slot;
      ring_push(ring, head);
      ++submitted;
      if (submitted >= depth) break;
    }
    if (ring_wants_notification(ring)) ring_notify(ring);
    CHECK(ring_wait(ring, &element) && element.id < ring->size, "no answer after %lu reads", completed);
    free_slot = slot_of_head[element.id];
    CHECK(requests[free_slot].status == BLK_OK, "read %lu: status 0x%x", completed, requests[free_slot].status);
    ++completed;
  }
  u64 cycles = tsc_read() - start;
  console_printf("IOPS n=%lu depth=%lu bytes=%lu cycles=%lu each=%lu\n", count, depth, bytes, cycles, cycles / count);
  return TEST_PASS;
}

// Writes `n=` sectors (default 64, at most 1024) from `sector=` (default 0) with the pattern of `seed=` (default 1),
// flushes, says so and spins: what was announced must be on the disk whatever happens to the machine now.
static enum test_result flushwrite(void) {
  u64 count = word_number("n", 64), sector = word_number("sector", 0), seed = word_number("seed", 1);
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  CHECK(blk.features & BLK_FEATURE_FLUSH, "FLUSH is not offered");
  CHECK(count >= 1 && count <= 1024, "n= is 1 to 1024");
  u8* data = dma_alloc(8 * SECTOR);
  for (u64 done = 0; done < count;) {
    u64 now = count - done < 8 ? count - done : 8;
    pattern_fill(data, sector + done, (u32)(now * SECTOR), seed);
    u32 status = blk_write(&blk, sector + done, data, (u32)(now * SECTOR));
    CHECK(status == BLK_OK, "writing sector %lu: status 0x%x", sector + done, status);
    done += now;
  }
  u32 status = blk_transfer(&blk, 0, BLK_FLUSH, 0, NULL, 0, false);
  CHECK(status == BLK_OK, "flushing: status 0x%x", status);
  console_printf("FLUSHED sector=%lu count=%lu seed=%lu\n", sector, count, seed);
  tick_forever();
}

// Writes blocks of 4 KiB for ever, `depth=` at a time (1 to 8, default 8), block n at place n modulo `slots=` (default
// 256), counted from `from=` (default 1). While one group is written, the group before is flushed; when that is
// answered, `SAFE <n>` says that every block up to n must survive whatever happens to the machine now. Words 0, 21,
// 42 and 63 of each sector are the block's number, the rest zero.
static enum test_result journal(void) {
  enum { kBlock = 4096, kSectors = kBlock / SECTOR, kMaxDepth = 8 };
  u64 first = word_number("from", 1), slots = word_number("slots", 256), depth = word_number("depth", 8);
  OPEN(&blk, BLK_ALL_FEATURES, 1, 64);
  CHECK(blk.features & BLK_FEATURE_FLUSH, "FLUSH is not offered");
  CHECK(depth >= 1 && depth <= kMaxDepth && slots >= depth && slots * kSectors <= blk.capacity,
        "depth= is 1 to %u, slots= at least as many, and the disk as large", (u32)kMaxDepth);
  struct ring* ring = &blk.queues[0];
  u8* data = dma_alloc(depth * kBlock);
  struct blk_request* requests = dma_alloc((depth + 1) * sizeof *requests);
  for (u64 next = first;; next += depth) {
    u64 count = 0;
    for (; count < depth; ++count) {
      u64* words = (u64*)(data + count * kBlock);
      for (u64* word = words; word < words + kBlock / 8; word += 64)
        word[0] = word[21] = word[42] = word[63] = next + count;
      blk_prepare(&requests[count], BLK_OUT, (next + count) % slots * kSectors);
      struct segment segments[3] = {{physical(&requests[count].header), 16, false},
                                    {physical(words), kBlock, false},
                                    {physical(&requests[count].status), 1, true}};
      ring_push(ring, ring_add(ring, segments, 3));
    }
    if (next > first) {
      blk_prepare(&requests[count], BLK_FLUSH, 0);
      struct segment segments[2] = {{physical(&requests[count].header), 16, false},
                                    {physical(&requests[count].status), 1, true}};
      ring_push(ring, ring_add(ring, segments, 2));
      ++count;
    }
    if (ring_wants_notification(ring)) ring_notify(ring);
    struct ring_used_element element;
    for (u64 i = 0; i < count; ++i) CHECK(ring_wait(ring, &element), "no answer after block %lu", next);
    for (u64 i = 0; i < count; ++i)
      CHECK(requests[i].status == BLK_OK, "block %lu: status 0x%x", next + i, requests[i].status);
    if (next > first) console_printf("SAFE %lu\n", next - 1);
  }
}

// More requests than a ring index counts: idx passes 65535 (virtio 1.2 §2.7.6).
static enum test_result index_wrap(void) {
  OPEN(&blk, BLK_ALL_FEATURES, 1, RING_MAX_SIZE);
  struct ring* ring = &blk.queues[0];
  u32 depth = ring->size / 2u;
  struct blk_request* requests = dma_alloc(sizeof *requests);
  struct ring_used_element element;
  // GET_ID into one shared place: the smallest request there is, and no order among them matters.
  u8* id = dma_alloc(32);
  blk_prepare(requests, BLK_GET_ID, 0);
  struct segment segments[2] = {{physical(&requests->header), 16, false}, {physical(id), 21, true}};
  for (u32 done = 0; done < 66000; done += depth) {
    for (u32 i = 0; i < depth; ++i) ring_push(ring, ring_add(ring, segments, 2));
    if (ring_wants_notification(ring)) ring_notify(ring);
    for (u32 i = 0; i < depth; ++i) CHECK(ring_wait(ring, &element), "no answer after about %u requests", done);
    CHECK(id[20] == BLK_OK, "status 0x%x after about %u requests", id[20], done);
  }
  return TEST_PASS;
}

// Prints ECHO and each line it is given; ends at a line `quit`. For tests of what the host sends.
static enum test_result echo(void) {
  char line[256];
  u32 length = 0;
  console_printf("ECHO ready\n");
  for (;;) {
    int byte = console_read();
    if (byte < 0) {
      cpu_pause();
      continue;
    }
    if (byte != '\n' && byte != '\r') {
      if (length + 1 < sizeof line) line[length++] = (char)byte;
      continue;
    }
    line[length] = 0;
    if (strcmp(line, "quit") == 0) return TEST_PASS;
    if (length) console_printf("ECHO %s\n", line);
    length = 0;
  }
}

static const struct test kTests[] = {
    {"spin", spin}, {"iops", iops}, {"flushwrite", flushwrite}, {"journal", journal}, {"index_wrap", index_wrap},
    {"echo", echo}};

const struct theme theme_load = {"load", kTests, COUNT_OF(kTests), false};
