// Text output and input on the first serial port, polled.
#ifndef NACRE_TESTS_GUEST_CONSOLE_H_
#define NACRE_TESTS_GUEST_CONSOLE_H_

#include <stdarg.h>

#include "types.h"

#define SERIAL_PORT 0x3f8

// Registers of a 16550, as offsets from SERIAL_PORT.
enum {
  SERIAL_DATA = 0,
  SERIAL_IER = 1,
  SERIAL_IIR = 2,
  SERIAL_LCR = 3,
  SERIAL_MCR = 4,
  SERIAL_LSR = 5,
  SERIAL_SCR = 7
};
enum { SERIAL_LSR_DATA_READY = 0x01, SERIAL_LSR_THR_EMPTY = 0x20 };

// 115200 baud, 8N1, FIFOs on, interrupts off.
void console_init(void);

// Formats: %s %c %u %lu %x %lx %%. Newlines go out as they are. Whole calls are serialised among processors.
void console_printf(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Formats into `to` with a closing NUL; cuts what does not fit in `size` bytes.
void text_format(char* to, size_t size, const char* format, va_list arguments);

// Returns the next input byte, or -1 when there is none.
int console_read(void);

#endif
