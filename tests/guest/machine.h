// What the boot protocol says about the machine, the words of the command line, and how the guest ends.
#ifndef NACRE_TESTS_GUEST_MACHINE_H_
#define NACRE_TESTS_GUEST_MACHINE_H_

#include "types.h"

enum boot_protocol { BOOT_PVH = 0, BOOT_LINUX64 = 1 };

struct machine {
  enum boot_protocol protocol;
  char command_line[2048];
  u64 low_ram_end;  // end of the RAM region this program is in
  u64 top_ram_end;  // end of the highest RAM region
};

extern struct machine machine;

// Reads hvm_start_info (Xen PVH) or the zero page (Linux boot protocol) at `info`. Ends the guest when it is neither.
void machine_init(enum boot_protocol protocol, u64 info);

// Copies the value of the last word `name=value` of the command line into `value`, NUL-terminated and cut to `size`.
// Returns false when there is no such word.
bool word_text(const char* name, char* value, size_t size);

// The value of the word `name=` as a number, decimal or with 0x hexadecimal; `otherwise` when absent.
u64 word_number(const char* name, u64 otherwise);

// Reads a number as word_number() does and moves `*text` past it. A text without digits gives 0.
u64 parse_number(const char** text);

// Walks the `virtio_mmio.device=<size>@<base>:<irq>` words: returns the n-th, false when there are fewer.
bool virtio_mmio_word(u32 n, u64* base, u32* gsi);

// Ends the guest by the means the word `exit=` names: triple (default), acpi, reset or halt.
void machine_exit(void) __attribute__((noreturn));

// How long a wait may last, in ticks of the time-stamp counter (word `timeout=`, in millions of ticks).
u64 timeout_ticks(void);

// Waits about `ticks` of the time-stamp counter.
void delay_ticks(u64 ticks);

#endif
