// vCPUs that come and go on q35: the event register and the CPU controller, driven as the machine's ACPI drives them.
#include "console.h"
#include "cpu.h"
#include "interrupts.h"
#include "machine.h"
#include "smp.h"
#include "test.h"

enum { EVENTS = 0xf0000000, SELECTION = EVENTS + 4, STATUS = EVENTS + 5, RESULT = EVENTS + 6, LINE = 6, CPU_EVENT = 16 };
enum { PRESENT = 1, INSERT = 2, REMOVE = 4, EJECT = 8 };
enum { OST_BUSY = 0x82, OST_UNDER_WAY = 0x84 };

static volatile u32 interrupts;

static void on_interrupt(void* argument) {
  (void)argument;
  ++interrupts;
}

static u8 status_of(u32 id) {
  mmio_write8(SELECTION, (u8)id);
  return mmio_read8(STATUS);
}

static u32 processors(void) {
  return (u32)word_number("cpus", 2);
}

// Of a machine that has vCPU 0 alone; asked for in odd ways.
static enum test_result cpus_power_on_state(void) {
  CHECK(mmio_read32(EVENTS) == 0, "an event is pending");
  mmio_write32(EVENTS, 0xffffffff);
  CHECK(mmio_read32(EVENTS) == 0, "a write makes events");
  CHECK(mmio_read8(EVENTS) == 0xff && mmio_read16(EVENTS) == 0xffff, "the event register answers by halves");
  for (u32 id = 0; id < 256; ++id)
    CHECK(status_of(id) == (id == 0 ? PRESENT : 0), "vCPU %u has status 0x%x", id, status_of(id));
  for (u32 id = 0; id < 256; ++id) {
    mmio_write8(SELECTION, (u8)id);
    for (u32 value = 0; value < 256; ++value) mmio_write8(STATUS, (u8)value);
    mmio_write8(RESULT, OST_BUSY);
    CHECK(status_of(id) == (id == 0 ? PRESENT : 0), "vCPU %u has status 0x%x after noise", id, status_of(id));
  }
  CHECK(mmio_read16(SELECTION) == 0xffff && mmio_read8(RESULT) == 0, "odd reads");
  return TEST_PASS;
}

// Waits for one event, takes it as the ACPI methods do, and says what it was: INSERT or REMOVE of `*id`.
static enum test_result next_change(u32* id, u8* what) {
  u32 before = interrupts;
  console_printf("WAITING\n");
  interrupts_enable();
  u64 start = tsc_read();
  while (interrupts == before && tsc_read() - start < timeout_ticks()) cpu_pause();
  interrupts_disable();
  CHECK(interrupts != before, "no interrupt came");
  CHECK(mmio_read32(EVENTS) == CPU_EVENT && mmio_read32(EVENTS) == 0, "the event register");
  *what = 0;
  for (u32 each = 0; each < processors(); ++each) {
    u8 pending = status_of(each) & (INSERT | REMOVE);
    if (!pending) continue;
    CHECK(*what == 0 && (pending == INSERT || pending == REMOVE), "more than one change is pending");
    *id = each;
    *what = pending;
    mmio_write8(STATUS, pending);
    CHECK(status_of(each) == PRESENT, "the change stays pending: status 0x%x", status_of(each));
  }
  CHECK(*what != 0, "an event, and nothing has changed");
  CHECK(mmio_read8(SELECTION) == *id, "the vCPU that changed last is %u, not %u", mmio_read8(SELECTION), *id);
  return TEST_PASS;
}

// As many changes as the word `changes` says: starts the vCPUs that come, gives those up that shall go, the first time
// each is asked for with a refusal where the word `refuse` is not 0.
static enum test_result cpus_come_and_go(void) {
  interrupts_connect(LINE, on_interrupt, NULL);
  u64 changes = word_number("changes", 2), refusals = word_number("refuse", 0);
  for (u64 number = 0; number < changes; ++number) {
    u32 id = 0;
    u8 what = 0;
    TRY(next_change(&id, &what));
    if (what == INSERT) {
      CHECK(processor_start(id, true), "vCPU %u does not start", id);
      continue;
    }
    mmio_write8(RESULT, OST_UNDER_WAY);
    if (refusals > 0) {
      --refusals;
      mmio_write8(RESULT, OST_BUSY);
      console_printf("REFUSED %u\n", id);
      continue;
    }
    mmio_write8(STATUS, EJECT);
    CHECK(status_of(id) == 0, "vCPU %u has status 0x%x when it is given up", id, status_of(id));
    console_printf("EJECTED %u\n", id);
  }
  interrupts_disconnect(LINE);
  return TEST_PASS;
}

static const struct test kTests[] = {{"cpus_power_on_state", cpus_power_on_state},
                                     {"cpus_come_and_go", cpus_come_and_go}};

const struct theme theme_cpus = {"cpus", kTests, COUNT_OF(kTests), false};
