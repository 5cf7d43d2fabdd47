// Further processors: started by INIT and SIPI, counted, and set to work on queues of their own.
#include "blk.h"
#include "console.h"
#include "interrupts.h"
#include "machine.h"
#include "memory.h"
#include "smp.h"
#include "test.h"

enum { TRAMPOLINE = 0x8000, ICR_INIT = 0x4500, ICR_STARTUP = 0x4600, MAX_PROCESSORS = 64, READS_EACH = 100 };

extern u8 ap_trampoline[], ap_trampoline_end[];
extern u32 ap_next_index;
void ap_main(u32 index);

static struct blk blk;
static u8 seen[256];
static volatile u32 started, finished, read_errors, go;
static bool at_rest;  // those that start from now on halt at once

static u32 read_on_queue(u16 queue) {
  static u8 data[MAX_PROCESSORS][SECTOR] __attribute__((aligned(512)));
  u32 errors = 0;
  for (u32 i = 0; i < READS_EACH; ++i) {
    if (blk_transfer(&blk, queue, BLK_IN, i, data[queue], SECTOR, true) != BLK_OK) ++errors;
  }
  return errors;
}

// Runs on each further processor; `index` counts them from 0 in the order in which they arrive.
void ap_main(u32 index) {
  u32 id = lapic_id();
  console_printf("CPU %u apic=%u\n", index + 1, id);
  __atomic_fetch_add(&seen[id & 255], 1, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
  if (at_rest) return;
  while (!go) cpu_pause();
  if (index + 1 < blk.queue_count) {
    u32 errors = read_on_queue((u16)(index + 1));
    __atomic_fetch_add(&read_errors, errors, __ATOMIC_SEQ_CST);
  }
  __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

static u32 processors(void) {
  u64 count = word_number("cpus", 1);
  return count > MAX_PROCESSORS ? MAX_PROCESSORS : (u32)count;
}

bool processor_start(u32 id, bool to_rest) {
  memcpy((void*)(uintptr_t)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
  at_rest = to_rest;
  u32 before = started;
  lapic_send(id, ICR_INIT);
  delay_ticks(20000000);
  for (u32 attempt = 0; attempt < 2 && started == before; ++attempt) {
    lapic_send(id, ICR_STARTUP | TRAMPOLINE >> 12);
    u64 start = tsc_read();
    while (started == before && tsc_read() - start < timeout_ticks()) cpu_pause();
  }
  return started != before;
}

static enum test_result smp_start(void) {
  u32 count = processors();
  if (count < 2) return test_skip("give cpus=<n>, 2 to %u", (u32)MAX_PROCESSORS);
  if (started) return TEST_PASS;
  u32 self = lapic_id();
  // More than a few that wait in a loop would leave the host no time.
  bool to_rest = word_number("rest", 0) != 0;
  for (u32 id = 0; id < count; ++id) {
    if (id == self) continue;
    CHECK(processor_start(id, to_rest), "processor with local APIC id %u does not start", id);
  }
  CHECK(started == count - 1 && ap_next_index == count - 1, "%u processors started, not %u", started, count - 1);
  for (u32 id = 0; id < count; ++id) {
    CHECK(seen[id] == (id == self ? 0 : 1), "local APIC id %u was seen %u times", id, seen[id]);
  }
  console_printf("CPUS %u\n", started + 1);
  return TEST_PASS;
}

// Needs smp_start before it. Each processor reads on its own queue, all at once.
static enum test_result smp_io(void) {
  if (processors() < 2) return test_skip("give cpus=<n>");
  if (!started) TRY(smp_start());
  CHECK(!at_rest, "the processors are at rest");
  CHECK(!go, "the processors did their work once already");
  OPEN(&blk, BLK_ALL_FEATURES, (u16)processors(), 64);
  go = 1;
  u32 errors = read_on_queue(0);
  u64 start = tsc_read();
  while (finished < started && tsc_read() - start < timeout_ticks()) cpu_pause();
  CHECK(finished == started, "%u of %u processors finished", finished, started);
  CHECK(errors + read_errors == 0, "%u reads failed", errors + read_errors);
  return TEST_PASS;
}

static const struct test kTests[] = {{"smp_start", smp_start}, {"smp_io", smp_io}};

const struct theme theme_smp = {"smp", kTests, COUNT_OF(kTests), true};
