// Every register at every width and offset, and registers at times they should be left alone (virtio 1.2 §4.2.2).
#include "hostile.h"
#include "machine.h"
#include "memory.h"

static void read_any(u64 address, u32 width) {
  switch (width) {
    case 1:
      mmio_read8(address);
      break;
    case 2:
      mmio_read16(address);
      break;
    case 4:
      mmio_read32(address);
      break;
    default:
      mmio_read64(address);
  }
}

static void write_any(u64 address, u32 width, u64 value) {
  switch (width) {
    case 1:
      mmio_write8(address, (u8)value);
      break;
    case 2:
      mmio_write16(address, (u16)value);
      break;
    case 4:
      mmio_write32(address, (u32)value);
      break;
    default:
      mmio_write64(address, value);
  }
}

// The last bytes of the window are also read at widths that reach into the next device's.
static enum test_result read_sweep(void) {
  HOSTILE_OPEN();
  for (u32 width = 1; width <= 8; width *= 2) {
    for (u32 offset = 0; offset < MMIO_WINDOW_BYTES; ++offset) read_any(hostile_blk.device.base + offset, width);
  }
  enum hostile_outcome outcome = hostile_kick(0, timeout_ticks());
  CHECK(outcome == OUTCOME_COMPLETED, "reading registers disturbed the device (outcome %u)", (u32)outcome);
  return TEST_PASS;
}

static enum test_result write_sweep(void) {
  static const u64 kValues[] = {~0ull, 1, 0x5a5a5a5a5a5a5a5aull, 0};
  for (u32 v = 0; v < COUNT_OF(kValues); ++v) {
    for (u32 width = 1; width <= 8; width *= 2) {
      HOSTILE_OPEN();
      for (u32 offset = 0; offset + width <= MMIO_WINDOW_BYTES; ++offset) {
        write_any(hostile_blk.device.base + offset, width, kValues[v]);
      }
      RECOVER("after writing to every register");
    }
  }
  return TEST_PASS;
}

// Registers that only 32-bit accesses may touch: others must not have the effect of a whole write.
static enum test_result narrow_status_write(void) {
  HOSTILE_OPEN();
  mmio_write8(hostile_blk.device.base + MMIO_STATUS + 1, 0);
  mmio_write16(hostile_blk.device.base + MMIO_STATUS + 2, 0);
  CHECK(virtio_read(&hostile_blk.device, MMIO_STATUS) & STATUS_DRIVER_OK, "a write beside Status changed it");
  CHECK(hostile_kick(0, timeout_ticks()) == OUTCOME_COMPLETED, "the device stopped serving");
  return TEST_PASS;
}

// The class of fault in which a queue is moved or resized under a running device.
static enum test_result write_after_driver_ok(void) {
  static const u32 kRegisters[] = {MMIO_QUEUE_NUM,           MMIO_QUEUE_DESC_LOW,    MMIO_QUEUE_DESC_HIGH,
                                   MMIO_QUEUE_DRIVER_LOW,    MMIO_QUEUE_DRIVER_HIGH, MMIO_QUEUE_DEVICE_LOW,
                                   MMIO_QUEUE_DEVICE_HIGH,   MMIO_DRIVER_FEATURES,   MMIO_DRIVER_FEATURES_SEL,
                                   MMIO_DEVICE_FEATURES_SEL, MMIO_QUEUE_SEL,         MMIO_INTERRUPT_ACK};
  static const u32 kValues[] = {0, 1, 3, 0x10000, 0xfffffff0, 0xffffffff};
  for (u32 r = 0; r < COUNT_OF(kRegisters); ++r) {
    for (u32 v = 0; v < COUNT_OF(kValues); ++v) {
      HOSTILE_OPEN();
      virtio_write(&hostile_blk.device, MMIO_QUEUE_SEL, 0);
      virtio_write(&hostile_blk.device, kRegisters[r], kValues[v]);
      enum hostile_outcome outcome = hostile_kick(0, timeout_ticks());
      RECOVER("the device does not recover");
      CHECK(outcome == OUTCOME_COMPLETED || outcome == OUTCOME_BROKEN,
            "0x%x written to register 0x%x of a running device: outcome %u", kValues[v], kRegisters[r], (u32)outcome);
    }
  }
  return TEST_PASS;
}

// Taking a queue away and giving it back elsewhere while the device runs.
static enum test_result queue_ready_toggled(void) {
  HOSTILE_OPEN();
  struct ring* ring = &hostile_blk.queues[0];
  const struct virtio_mmio* device = &hostile_blk.device;
  virtio_write(device, MMIO_QUEUE_SEL, 0);
  virtio_write(device, MMIO_QUEUE_READY, 0);
  ring_push(ring, 0);
  ring_notify(ring);
  ring_program(device, 0, 0xffff, ~0ull, ~0ull, ~0ull);
  ring_notify(ring);
  for (u32 i = 0; i < 50; ++i) {
    virtio_write(device, MMIO_QUEUE_READY, i & 1);
    ring_notify(ring);
  }
  RECOVER("the device does not recover");
  return TEST_PASS;
}

static enum test_result features_not_offered(void) {
  HOSTILE_OPEN();
  const struct virtio_mmio* device = &hostile_blk.device;
  for (u32 bit = 0; bit < 64; bit += 1) {
    if (hostile_blk.offered >> bit & 1) continue;
    CHECK(virtio_reset(device), "Status does not read 0 after a reset");
    virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    virtio_set_driver_features(device, FEATURE_VERSION_1 | 1ull << bit);
    virtio_add_status(device, STATUS_FEATURES_OK);
    if (!(virtio_read(device, MMIO_STATUS) & STATUS_FEATURES_OK)) continue;
    // Not refused, so it must have been left out: the device has to work without it.
    CHECK(ring_setup(&hostile_blk.queues[0], device, 0, 64, false), "bit %u: QueueReady does not read 1", bit);
    virtio_add_status(device, STATUS_DRIVER_OK);
    static u8 data[SECTOR] __attribute__((aligned(512)));
    u32 status = blk_read(&hostile_blk, 0, data, SECTOR);
    CHECK(status == BLK_OK, "bit %u was accepted though not offered, and a read gets status 0x%x", bit, status);
  }
  RECOVER("the device does not recover");
  return TEST_PASS;
}

// §3.1.1 steps in every wrong order: bits set together, left out, taken back.
static enum test_result status_out_of_order(void) {
  static const u8 kSequences[][6] = {
      {STATUS_DRIVER_OK},
      {STATUS_DRIVER, STATUS_DRIVER | STATUS_DRIVER_OK},
      {STATUS_FEATURES_OK, STATUS_FEATURES_OK | STATUS_DRIVER_OK},
      {1, 3, 7},
      {1, 3, 11, 15, 3, 15},
      {15, 15, 7, 15},
      {0xff, 0x0f},
      {STATUS_FAILED, 0x8f},
      {STATUS_NEEDS_RESET, 0x4f},
      {1, 3, 11, 0x1f, 0x2f},
  };
  for (u32 s = 0; s < COUNT_OF(kSequences); ++s) {
    HOSTILE_OPEN();
    CHECK(virtio_reset(&hostile_blk.device), "Status does not read 0 after a reset");
    for (u32 i = 0; i < 6 && kSequences[s][i]; ++i) {
      virtio_write(&hostile_blk.device, MMIO_STATUS, kSequences[s][i]);
      ring_notify(&hostile_blk.queues[0]);
    }
    RECOVER("the device does not recover");
  }
  // Bits cannot be taken back one by one while the device runs; it must survive the attempt.
  for (u32 bits = 1; bits < 16; ++bits) {
    HOSTILE_OPEN();
    virtio_write(&hostile_blk.device, MMIO_STATUS, bits);
    ring_push(&hostile_blk.queues[0], 0);
    ring_notify(&hostile_blk.queues[0]);
    RECOVER("the device does not recover");
  }
  return TEST_PASS;
}

static enum test_result notify_range(void) {
  static const u32 kValues[] = {0x10000, 0x10001, 0x7fffffff, 0x80000000, 0xffff0000, 0xffffffff};
  HOSTILE_OPEN();
  const struct virtio_mmio* device = &hostile_blk.device;
  for (u32 i = 0; i < 20; ++i) virtio_write(device, MMIO_QUEUE_NOTIFY, i);
  for (u32 i = 20; i < 65536; i += 257) virtio_write(device, MMIO_QUEUE_NOTIFY, i);
  for (u32 i = 256; i <= 65536; i *= 2) virtio_write(device, MMIO_QUEUE_NOTIFY, i - 1);
  for (u32 i = 0; i < COUNT_OF(kValues); ++i) virtio_write(device, MMIO_QUEUE_NOTIFY, kValues[i]);
  enum hostile_outcome outcome = hostile_kick(0, timeout_ticks());
  CHECK(outcome == OUTCOME_COMPLETED, "notifying queues that do not exist disturbed the device (outcome %u)",
        (u32)outcome);
  CHECK(virtio_reset(device), "Status does not read 0 after a reset");
  for (u32 i = 0; i < 4; ++i) virtio_write(device, MMIO_QUEUE_NOTIFY, i);
  RECOVER("the device does not recover from notifications in reset");
  return TEST_PASS;
}

static enum test_result queue_select_range(void) {
  static const u32 kQueues[] = {64, 255, 256, 1024, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
  HOSTILE_OPEN();
  const struct virtio_mmio* device = &hostile_blk.device;
  CHECK(virtio_reset(device), "Status does not read 0 after a reset");
  virtio_write(device, MMIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
  virtio_set_driver_features(device, FEATURE_VERSION_1);
  virtio_add_status(device, STATUS_FEATURES_OK);
  for (u32 i = 0; i < COUNT_OF(kQueues); ++i) {
    virtio_write(device, MMIO_QUEUE_SEL, kQueues[i]);
    CHECK(virtio_read(device, MMIO_QUEUE_NUM_MAX) == 0, "queue 0x%x seems to exist", kQueues[i]);
    virtio_write(device, MMIO_QUEUE_NUM, 64);
    virtio_write(device, MMIO_QUEUE_DESC_LOW, 0x1000);
    virtio_write(device, MMIO_QUEUE_READY, 1);
    CHECK(virtio_read(device, MMIO_QUEUE_READY) == 0, "queue 0x%x became ready", kQueues[i]);
  }
  RECOVER("the device does not recover");
  return TEST_PASS;
}

static enum test_result config_write(void) {
  HOSTILE_OPEN();
  u64 before = hostile_blk.capacity;
  u64 config = hostile_blk.device.base + MMIO_CONFIG;
  for (u32 width = 1; width <= 8; width *= 2) {
    for (u32 offset = 0; offset + width <= MMIO_WINDOW_BYTES - MMIO_CONFIG; offset += width) {
      write_any(config + offset, width, 0x1111111111111111ull);
    }
  }
  u64 after = (u64)mmio_read32(config + 4) << 32 | mmio_read32(config);
  CHECK(after == before, "capacity became %lu after writes to the configuration", after);
  enum hostile_outcome outcome = hostile_kick(0, timeout_ticks());
  CHECK(outcome == OUTCOME_COMPLETED, "writing the configuration disturbed the device (outcome %u)", (u32)outcome);
  u32 generation = virtio_read(&hostile_blk.device, MMIO_CONFIG_GENERATION);
  CHECK(virtio_read(&hostile_blk.device, MMIO_CONFIG_GENERATION) == generation, "ConfigGeneration moves by itself");
  return TEST_PASS;
}

// Addresses and ports at which there is nothing.
static enum test_result holes(void) {
  static const u64 kHoles[] = {0xf8000000, 0xf0200000, 0xd0000000};
  static const u16 kPorts[] = {0x61, 0x64, 0x80, 0x2f8, 0x1234, 0xfffe};
  HOSTILE_OPEN();
  for (u32 i = 0; i < COUNT_OF(kHoles); ++i) {
    if (kHoles[i] < machine.low_ram_end) continue;
    for (u32 width = 1; width <= 8; width *= 2) {
      read_any(kHoles[i] + 1, width);
      write_any(kHoles[i] + 3, width, ~0ull);
    }
  }
  for (u32 i = 0; i < COUNT_OF(kPorts); ++i) port_read8(kPorts[i]);
  port_write8(0x80, 0x55);
  CHECK(hostile_kick(0, timeout_ticks()) == OUTCOME_COMPLETED, "the device stopped serving");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"read_sweep", read_sweep},
    {"write_sweep", write_sweep},
    {"narrow_status_write", narrow_status_write},
    {"write_after_driver_ok", write_after_driver_ok},
    {"queue_ready_toggled", queue_ready_toggled},
    {"features_not_offered", features_not_offered},
    {"status_out_of_order", status_out_of_order},
    {"notify_range", notify_range},
    {"queue_select_range", queue_select_range},
    {"config_write", config_write},
    {"holes", holes},
};

const struct theme theme_registers = {"registers", kTests, COUNT_OF(kTests), true};
