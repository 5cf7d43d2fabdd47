#include "hostile.h"

#include "machine.h"
#include "memory.h"

struct blk hostile_blk;
struct blk_request* hostile_request;
u8* hostile_data;

const char* hostile_open(void) {
  static struct blk_request request __attribute__((aligned(64)));
  static u8 data[4096] __attribute__((aligned(4096)));
  hostile_request = &request;
  hostile_data = data;
  const char* why = blk_open(&hostile_blk, BLK_ALL_FEATURES, 1, 64);
  if (why) return why;
  blk_prepare(&request, BLK_IN, 0);
  hostile_desc(0, physical(&request.header), sizeof request.header, DESC_NEXT, 1);
  hostile_desc(1, physical(data), SECTOR, DESC_NEXT | DESC_WRITE, 2);
  hostile_desc(2, physical(&request.status), 1, DESC_WRITE, 0);
  return NULL;
}

void hostile_desc(u16 index, u64 address, u32 length, u16 flags, u16 next) {
  volatile struct ring_desc* desc = &hostile_blk.queues[0].desc[index];
  desc->address = address;
  desc->length = length;
  desc->flags = flags;
  desc->next = next;
}

enum hostile_outcome hostile_outcome(u64 ticks) {
  struct ring* ring = &hostile_blk.queues[0];
  u64 start = tsc_read();
  do {
    if (ring->used[1] != ring->used_idx) {
      compiler_barrier();
      return hostile_request->status == BLK_OK ? OUTCOME_COMPLETED : OUTCOME_REFUSED;
    }
    if (virtio_needs_reset(&hostile_blk.device)) return OUTCOME_BROKEN;
    cpu_pause();
  } while (tsc_read() - start < ticks);
  return OUTCOME_SILENCE;
}

enum hostile_outcome hostile_kick(u16 head, u64 ticks) {
  struct ring* ring = &hostile_blk.queues[0];
  ring_push(ring, head);
  ring_notify(ring);
  return hostile_outcome(ticks);
}

const char* hostile_recover(void) {
  static u8 data[SECTOR] __attribute__((aligned(512)));
  static char text[] = "a read gets status 0x???";
  const char* why = blk_open(&hostile_blk, BLK_ALL_FEATURES, 1, 64);
  if (why) return why;
  u32 status = blk_read(&hostile_blk, 0, data, SECTOR);
  if (status == BLK_OK) return NULL;
  for (u32 i = 0; i < 3; ++i) text[sizeof text - 2 - i] = "0123456789abcdef"[status >> 4 * i & 15];
  return text;
}

enum test_result hostile_expect_refusal(u16 head) {
  enum hostile_outcome outcome = hostile_kick(head, timeout_ticks());
  RECOVER("the device does not recover");
  CHECK(outcome != OUTCOME_COMPLETED, "the request was carried out");
  CHECK(outcome != OUTCOME_SILENCE, "neither an error nor DEVICE_NEEDS_RESET");
  return TEST_PASS;
}
