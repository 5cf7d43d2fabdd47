// The serial port itself, beside being the console.
#include "console.h"
#include "cpu.h"
#include "interrupts.h"
#include "machine.h"
#include "test.h"

enum { SERIAL_GSI = 4, IER_THR_EMPTY = 0x02, MCR_OUT2 = 0x08 };

static volatile u32 interrupts, identification;

static void on_interrupt(void* argument) {
  (void)argument;
  identification = port_read8(SERIAL_PORT + SERIAL_IIR);
  ++interrupts;
}

static enum test_result serial_registers(void) {
  for (u32 value = 0; value < 256; value += 51) {
    port_write8(SERIAL_PORT + SERIAL_SCR, (u8)value);
    u8 read = port_read8(SERIAL_PORT + SERIAL_SCR);
    CHECK(read == value, "the scratch register holds 0x%x, not 0x%x", read, value);
  }
  u8 lcr = port_read8(SERIAL_PORT + SERIAL_LCR);
  CHECK(lcr == 0x03, "LCR reads 0x%x, not the 0x3 written", lcr);
  u8 iir = port_read8(SERIAL_PORT + SERIAL_IIR);
  CHECK((iir & 0x0f) == 0x01, "IIR reads 0x%x with no interrupt enabled", iir);
  return TEST_PASS;
}

// The transmitter is empty, so enabling its interrupt raises one at once.
static enum test_result serial_interrupt(void) {
  interrupts = 0;
  interrupts_connect(SERIAL_GSI, on_interrupt, NULL);
  port_write8(SERIAL_PORT + SERIAL_MCR, 0x03 | MCR_OUT2);
  port_write8(SERIAL_PORT + SERIAL_IER, IER_THR_EMPTY);
  u64 start = tsc_read();
  interrupts_enable();
  while (!interrupts && tsc_read() - start < timeout_ticks()) cpu_pause();
  interrupts_disable();
  port_write8(SERIAL_PORT + SERIAL_IER, 0);
  interrupts_disconnect(SERIAL_GSI);
  CHECK(interrupts, "no interrupt when the empty transmitter's is enabled");
  CHECK((identification & 0x0f) == 0x02, "IIR was 0x%x in the interrupt, not transmitter empty", identification);
  return TEST_PASS;
}

static const struct test kTests[] = {{"serial_registers", serial_registers}, {"serial_interrupt", serial_interrupt}};

const struct theme theme_serial = {"serial", kTests, COUNT_OF(kTests), true};
