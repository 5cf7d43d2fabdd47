// Descriptor chains no driver should make (virtio 1.2 §2.7.4, §2.7.5). The device must break (DEVICE_NEEDS_RESET) or
// give the request back with an error, and must work again after a reset.
#include "hostile.h"
#include "machine.h"
#include "memory.h"

static u64 beyond_ram(void) {
  return machine.top_ram_end + 0x10000;
}

static enum test_result loop_to_self(void) {
  HOSTILE_OPEN();
  hostile_desc(1, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 1);
  return hostile_expect_refusal(0);
}

static enum test_result loop_to_head(void) {
  HOSTILE_OPEN();
  hostile_desc(2, physical(&hostile_request->status), 1, DESC_NEXT | DESC_WRITE, 0);
  return hostile_expect_refusal(0);
}

static enum test_result loop_of_two(void) {
  HOSTILE_OPEN();
  hostile_desc(2, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 1);
  return hostile_expect_refusal(0);
}

static enum test_result next_out_of_range(void) {
  static const u16 kNext[] = {64, 65, 256, 0x7fff, 0xffff};
  for (u32 i = 0; i < COUNT_OF(kNext); ++i) {
    HOSTILE_OPEN();
    hostile_desc(1, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, kNext[i]);
    enum test_result result = hostile_expect_refusal(0);
    if (result != TEST_PASS) return result;
  }
  return TEST_PASS;
}

// One case: descriptor 1, the data, replaced.
static enum test_result bad_data(u64 address, u32 length) {
  HOSTILE_OPEN();
  hostile_desc(1, address, length, DESC_NEXT | DESC_WRITE, 2);
  return hostile_expect_refusal(0);
}

static enum test_result zero_length_data(void) {
  return bad_data(physical(hostile_data), 0);
}

static enum test_result zero_length_header(void) {
  HOSTILE_OPEN();
  hostile_desc(0, physical(&hostile_request->header), 0, DESC_NEXT, 1);
  return hostile_expect_refusal(0);
}

static enum test_result zero_length_status(void) {
  HOSTILE_OPEN();
  hostile_desc(2, physical(&hostile_request->status), 0, DESC_WRITE, 0);
  return hostile_expect_refusal(0);
}

static enum test_result data_beyond_ram(void) {
  TRY(bad_data(beyond_ram(), SECTOR));
  TRY(bad_data(1ull << 40, SECTOR));
  return bad_data(1ull << 63, SECTOR);
}

static enum test_result data_across_end_of_ram(void) {
  if (!machine.low_ram_end) return test_skip("the memory map does not say where RAM ends");
  TRY(bad_data(machine.low_ram_end - 256, SECTOR));
  TRY(bad_data(machine.low_ram_end - 1, SECTOR));
  return bad_data(machine.top_ram_end - 256, SECTOR);
}

static enum test_result data_address_wraps(void) {
  TRY(bad_data(~0ull - 255, SECTOR));
  TRY(bad_data(~0ull, SECTOR));
  TRY(bad_data(~0ull - 511, SECTOR));
  return bad_data(physical(hostile_data), 0xfffffe00);
}

static enum test_result data_in_device_registers(void) {
  struct virtio_mmio device;
  const char* why = blk_find(&device);
  CHECK(!why, "%s", why);
  TRY(bad_data(device.base, SECTOR));
  TRY(bad_data(device.base + MMIO_QUEUE_NOTIFY, SECTOR));
  return bad_data(0xfee00000, SECTOR);
}

static enum test_result header_beyond_ram(void) {
  HOSTILE_OPEN();
  hostile_desc(0, beyond_ram(), sizeof(struct blk_header), DESC_NEXT, 1);
  TRY(hostile_expect_refusal(0));
  HOSTILE_OPEN();
  hostile_desc(0, hostile_blk.device.base, sizeof(struct blk_header), DESC_NEXT, 1);
  return hostile_expect_refusal(0);
}

static enum test_result status_beyond_ram(void) {
  HOSTILE_OPEN();
  hostile_desc(2, beyond_ram(), 1, DESC_WRITE, 0);
  TRY(hostile_expect_refusal(0));
  HOSTILE_OPEN();
  hostile_desc(2, hostile_blk.device.base + MMIO_STATUS, 1, DESC_WRITE, 0);
  return hostile_expect_refusal(0);
}

static enum test_result writable_before_readable(void) {
  HOSTILE_OPEN();
  hostile_desc(0, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 1);
  hostile_desc(1, physical(&hostile_request->header), sizeof(struct blk_header), DESC_NEXT, 2);
  return hostile_expect_refusal(0);
}

static enum test_result header_missing(void) {
  HOSTILE_OPEN();
  return hostile_expect_refusal(1);
}

static enum test_result status_missing(void) {
  HOSTILE_OPEN();
  hostile_request->header.type = BLK_OUT;
  hostile_request->header.sector = ~0ull;
  hostile_desc(1, physical(hostile_data), SECTOR, 0, 0);
  TRY(hostile_expect_refusal(0));
  HOSTILE_OPEN();
  hostile_desc(0, physical(&hostile_request->header), sizeof(struct blk_header), 0, 0);
  return hostile_expect_refusal(0);
}

static enum test_result status_readable(void) {
  HOSTILE_OPEN();
  hostile_desc(1, physical(&hostile_request->status), 1, 0, 0);
  return hostile_expect_refusal(0);
}

static enum test_result header_short(void) {
  static const u32 kLengths[] = {1, 15};
  for (u32 i = 0; i < COUNT_OF(kLengths); ++i) {
    HOSTILE_OPEN();
    hostile_desc(0, physical(&hostile_request->header), kLengths[i], DESC_NEXT, 1);
    TRY(hostile_expect_refusal(0));
    HOSTILE_OPEN();
    hostile_desc(0, physical(&hostile_request->header), kLengths[i], 0, 0);
    TRY(hostile_expect_refusal(0));
  }
  return TEST_PASS;
}

// A discard whose range record is short.
static enum test_result range_short(void) {
  static const u32 kTypes[] = {BLK_DISCARD, BLK_WRITE_ZEROES}, kLengths[] = {1, 15, 17};
  for (u32 t = 0; t < COUNT_OF(kTypes); ++t) {
    for (u32 i = 0; i < COUNT_OF(kLengths); ++i) {
      HOSTILE_OPEN();
      hostile_request->header.type = kTypes[t];
      hostile_desc(1, physical(hostile_data), kLengths[i], DESC_NEXT, 2);
      TRY(hostile_expect_refusal(0));
    }
  }
  return TEST_PASS;
}

// One indirect descriptor at 0 with this table and length; the table's first three entries are a correct read.
static enum test_result bad_indirect(u64 address, u32 length, u16 nested) {
  HOSTILE_OPEN();
  if (!(hostile_blk.features & FEATURE_INDIRECT_DESC)) return test_skip("INDIRECT_DESC is not offered");
  static struct ring_desc table[3] __attribute__((aligned(16)));
  for (u16 i = 0; i < 3; ++i) {
    volatile struct ring_desc* desc = &hostile_blk.queues[0].desc[i];
    table[i] = (struct ring_desc){desc->address, desc->length, desc->flags, desc->next};
  }
  if (nested) {
    table[1] = (struct ring_desc){physical(table), sizeof table, DESC_INDIRECT, 0};
    if (nested == 2) table[0].flags = DESC_INDIRECT, table[0].address = physical(table), table[0].length = sizeof table;
    if (nested == 3) table[2].flags |= DESC_NEXT, table[2].next = 3, table[1].flags = DESC_NEXT | DESC_WRITE;
    if (nested == 3) table[1].address = physical(hostile_data), table[1].length = SECTOR, table[1].next = 2;
  }
  hostile_desc(0, address ? address : physical(table), length ? length : sizeof table, DESC_INDIRECT, 0);
  if (length == 0xdead) hostile_desc(0, physical(table), 0, DESC_INDIRECT, 0);
  return hostile_expect_refusal(0);
}

static enum test_result indirect_in_indirect(void) {
  TRY(bad_indirect(0, 0, 1));
  return bad_indirect(0, 0, 2);
}

static enum test_result indirect_next_out_of_range(void) {
  return bad_indirect(0, 0, 3);
}
static enum test_result indirect_length_zero(void) {
  return bad_indirect(0, 0xdead, 0);
}

static enum test_result indirect_length_odd(void) {
  TRY(bad_indirect(0, 1, 0));
  TRY(bad_indirect(0, 15, 0));
  return bad_indirect(0, 47, 0);
}

// The table's entries after the first repeat a loop, so that a device that walks it all has much to do.
static enum test_result indirect_length_huge(void) {
  u32 entries = 65536;
  struct ring_desc* table = dma_alloc(entries * sizeof *table);
  for (u32 i = 0; i < 1025; ++i) {
    table[i] = (struct ring_desc){physical(table) + (1u << 20) - 4096, SECTOR, DESC_NEXT | DESC_WRITE, (u16)(i + 1)};
  }
  table[0].flags = DESC_NEXT;
  table[0].length = 16;
  TRY(bad_indirect(physical(table), entries * 16, 0));
  TRY(bad_indirect(physical(table), 0xfffffff0, 0));
  return bad_indirect(physical(table), 0x80000000, 0);
}

static enum test_result indirect_beyond_ram(void) {
  TRY(bad_indirect(beyond_ram(), 48, 0));
  TRY(bad_indirect(~0ull - 15, 48, 0));
  if (machine.low_ram_end) TRY(bad_indirect(machine.low_ram_end - 16, 48, 0));
  return bad_indirect(0xfee00000, 48, 0);
}

static enum test_result indirect_not_negotiated(void) {
  static struct ring_desc table[3] __attribute__((aligned(16)));
  HOSTILE_OPEN();
  OPEN(&hostile_blk, 0, 1, 64);
  blk_prepare(hostile_request, BLK_IN, 0);
  table[0] = (struct ring_desc){physical(&hostile_request->header), 16, DESC_NEXT, 1};
  table[1] = (struct ring_desc){physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 2};
  table[2] = (struct ring_desc){physical(&hostile_request->status), 1, DESC_WRITE, 0};
  hostile_desc(0, physical(table), sizeof table, DESC_INDIRECT, 0);
  enum hostile_outcome outcome = hostile_kick(0, SHORT_WAIT_TICKS);
  RECOVER("the device does not recover");
  // §2.7.5.3.1 forbids it to the driver only; serving it is harmless.
  (void)outcome;
  return TEST_PASS;
}

// §2.1.2: a device that needs a reset says so with a configuration change notification.
static enum test_result broken_notifies(void) {
  HOSTILE_OPEN();
  hostile_desc(1, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 0xffff);
  enum hostile_outcome outcome = hostile_kick(0, timeout_ticks());
  u32 pending = virtio_read(&hostile_blk.device, MMIO_INTERRUPT_STATUS);
  u32 status = virtio_read(&hostile_blk.device, MMIO_STATUS);
  // Nothing more is served until the reset.
  hostile_desc(4, physical(&hostile_request->header), 16, DESC_NEXT, 5);
  hostile_desc(5, physical(hostile_data), SECTOR, DESC_NEXT | DESC_WRITE, 6);
  hostile_desc(6, physical(&hostile_request->status), 1, DESC_WRITE, 0);
  u16 used = hostile_blk.queues[0].used[1];
  hostile_kick(4, 0);
  delay_ticks(SHORT_WAIT_TICKS);
  u16 moved = (u16)(hostile_blk.queues[0].used[1] - used);
  RECOVER("the device does not recover");
  CHECK(virtio_read(&hostile_blk.device, MMIO_STATUS) == 0xf, "DEVICE_NEEDS_RESET outlives a reset");
  if (outcome != OUTCOME_BROKEN) return test_fail("a descriptor index out of range did not break the device");
  CHECK(pending & INTERRUPT_CONFIG, "InterruptStatus 0x%x lacks the configuration bit", pending);
  CHECK(status & STATUS_DRIVER_OK, "Status 0x%x lacks the bits the driver set", status);
  CHECK(!moved, "a broken device served a request");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"loop_to_self", loop_to_self},
    {"loop_to_head", loop_to_head},
    {"loop_of_two", loop_of_two},
    {"next_out_of_range", next_out_of_range},
    {"zero_length_data", zero_length_data},
    {"zero_length_header", zero_length_header},
    {"zero_length_status", zero_length_status},
    {"data_beyond_ram", data_beyond_ram},
    {"data_across_end_of_ram", data_across_end_of_ram},
    {"data_address_wraps", data_address_wraps},
    {"data_in_device_registers", data_in_device_registers},
    {"header_beyond_ram", header_beyond_ram},
    {"status_beyond_ram", status_beyond_ram},
    {"writable_before_readable", writable_before_readable},
    {"header_missing", header_missing},
    {"status_missing", status_missing},
    {"status_readable", status_readable},
    {"header_short", header_short},
    {"range_short", range_short},
    {"indirect_in_indirect", indirect_in_indirect},
    {"indirect_next_out_of_range", indirect_next_out_of_range},
    {"indirect_length_zero", indirect_length_zero},
    {"indirect_length_odd", indirect_length_odd},
    {"indirect_length_huge", indirect_length_huge},
    {"indirect_beyond_ram", indirect_beyond_ram},
    {"indirect_not_negotiated", indirect_not_negotiated},
    {"broken_notifies", broken_notifies},
};

const struct theme theme_hostile = {"hostile", kTests, COUNT_OF(kTests), true};
