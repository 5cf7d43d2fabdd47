// One port of the host's choice, read once.
#include "console.h"
#include "cpu.h"
#include "machine.h"
#include "test.h"

static enum test_result port_read(void) {
  u16 port = (u16)word_number("port", 0);
  console_printf("PORT 0x%x holds 0x%x\n", (u32)port, (u32)port_read8(port));
  return TEST_PASS;
}

static const struct test kTests[] = {{"port_read", port_read}};

const struct theme theme_port = {"port", kTests, COUNT_OF(kTests), false};
