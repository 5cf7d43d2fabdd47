#include "console.h"

#include "cpu.h"
#include "memory.h"

static int console_lock;

void console_init(void) {
  port_write8(SERIAL_PORT + SERIAL_IER, 0);
  port_write8(SERIAL_PORT + SERIAL_LCR, 0x80);
  port_write8(SERIAL_PORT + SERIAL_DATA, 1);
  port_write8(SERIAL_PORT + SERIAL_IER, 0);
  port_write8(SERIAL_PORT + SERIAL_LCR, 0x03);
  port_write8(SERIAL_PORT + SERIAL_IIR, 0x07);
  port_write8(SERIAL_PORT + SERIAL_MCR, 0x03);
}

static void put(char byte) {
  // A machine without a serial port reads as all ones or as nothing at all: bounded, so that the guest still runs.
  for (u32 tries = 0; tries < 100000; ++tries) {
    if (port_read8(SERIAL_PORT + SERIAL_LSR) & SERIAL_LSR_THR_EMPTY) break;
    cpu_pause();
  }
  port_write8(SERIAL_PORT + SERIAL_DATA, (u8)byte);
}

struct sink {
  char* to;
  size_t left;
};

static void emit(struct sink* sink, char byte) {
  if (sink->left <= 1) return;
  *sink->to++ = byte;
  --sink->left;
}

static void emit_number(struct sink* sink, u64 value, u32 base) {
  char digits[20];
  u32 count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  while (count) emit(sink, digits[--count]);
}

void text_format(char* to, size_t size, const char* format, va_list arguments) {
  struct sink sink = {to, size};
  for (; *format; ++format) {
    if (*format != '%') {
      emit(&sink, *format);
      continue;
    }
    bool is_long = *++format == 'l';
    if (is_long) ++format;
    switch (*format) {
      case 's':
        for (const char* text = va_arg(arguments, const char*); *text; ++text) emit(&sink, *text);
        break;
      case 'c':
        emit(&sink, (char)va_arg(arguments, int));
        break;
      case 'u':
      case 'x': {
        u64 value = is_long ? va_arg(arguments, u64) : va_arg(arguments, u32);
        emit_number(&sink, value, *format == 'u' ? 10 : 16);
        break;
      }
      default:
        emit(&sink, *format);
    }
  }
  if (size) *sink.to = 0;
}

void console_printf(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  text_format(line, sizeof line, format, arguments);
  va_end(arguments);
  while (__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE)) cpu_pause();
  for (const char* byte = line; *byte; ++byte) put(*byte);
  __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
}

int console_read(void) {
  if (!(port_read8(SERIAL_PORT + SERIAL_LSR) & SERIAL_LSR_DATA_READY)) return -1;
  return port_read8(SERIAL_PORT + SERIAL_DATA);
}
