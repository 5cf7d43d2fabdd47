#include "machine.h"

#include "console.h"
#include "cpu.h"
#include "memory.h"

struct machine machine;

// Xen: include/public/arch-x86/hvm/start_info.h describes this record and its memory map.
struct hvm_start_info {
  u32 magic, version, flags, module_count;
  u64 modules, command_line, rsdp, memory_map;
  u32 memory_map_entries, reserved;
};
struct hvm_memory_map_entry {
  u64 address, bytes;
  u32 type, reserved;
};

// Linux: Documentation/x86/zero-page.rst and boot.rst.
enum { ZERO_PAGE_E820_COUNT = 0x1e8, ZERO_PAGE_COMMAND_LINE = 0x228, ZERO_PAGE_E820_TABLE = 0x2d0 };
struct e820_entry {
  u64 address, bytes;
  u32 type;
} __attribute__((packed));

enum { HVM_START_MAGIC = 0x336ec578, MEMORY_TYPE_RAM = 1 };

static void add_ram(u64 address, u64 bytes, u32 type) {
  if (type != MEMORY_TYPE_RAM) return;
  u64 here = physical(&machine), end = address + bytes;
  if (here >= address && here < end) machine.low_ram_end = end;
  if (end > machine.top_ram_end) machine.top_ram_end = end;
}

static void copy_command_line(u64 address) {
  if (!address) return;
  const char* from = (const char*)(uintptr_t)address;
  for (size_t i = 0; i + 1 < sizeof machine.command_line && from[i]; ++i) machine.command_line[i] = from[i];
}

void machine_init(enum boot_protocol protocol, u64 info) {
  machine.protocol = protocol;
  if (protocol == BOOT_PVH) {
    const struct hvm_start_info* start = (const struct hvm_start_info*)(uintptr_t)info;
    if (start->magic != HVM_START_MAGIC) {
      console_printf("FAIL boot: hvm_start_info at 0x%lx has magic 0x%x\n", info, start->magic);
      machine_exit();
    }
    copy_command_line(start->command_line);
    const struct hvm_memory_map_entry* map = (const struct hvm_memory_map_entry*)(uintptr_t)start->memory_map;
    u32 entries = start->version >= 1 ? start->memory_map_entries : 0;
    for (u32 i = 0; i < entries; ++i) add_ram(map[i].address, map[i].bytes, map[i].type);
    return;
  }
  const u8* page = (const u8*)(uintptr_t)info;
  copy_command_line(*(const u32*)(page + ZERO_PAGE_COMMAND_LINE));
  const struct e820_entry* map = (const struct e820_entry*)(page + ZERO_PAGE_E820_TABLE);
  for (u32 i = 0; i < page[ZERO_PAGE_E820_COUNT]; ++i) add_ram(map[i].address, map[i].bytes, map[i].type);
}

// Moves to the start of the next word, or to the closing NUL.
static const char* next_word(const char* at) {
  while (*at && *at != ' ') ++at;
  while (*at == ' ') ++at;
  return at;
}

bool word_text(const char* name, char* value, size_t size) {
  size_t length = strlen(name);
  bool found = false;
  for (const char* at = machine.command_line; *at; at = next_word(at)) {
    if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
    const char* from = at + length + 1;
    size_t i = 0;
    for (; i + 1 < size && from[i] && from[i] != ' '; ++i) value[i] = from[i];
    value[i] = 0;
    found = true;
  }
  return found;
}

u64 parse_number(const char** text) {
  const char* at = *text;
  u64 value = 0, base = 10;
  if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) base = 16, at += 2;
  for (;; ++at) {
    u64 digit;
    if (*at >= '0' && *at <= '9') {
      digit = (u64)(*at - '0');
    } else if (base == 16 && (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f') {
      digit = (u64)((*at | 0x20) - 'a' + 10);
    } else {
      break;
    }
    value = value * base + digit;
  }
  *text = at;
  return value;
}

u64 word_number(const char* name, u64 otherwise) {
  char text[32];
  if (!word_text(name, text, sizeof text)) return otherwise;
  const char* at = text;
  return parse_number(&at);
}

bool virtio_mmio_word(u32 n, u64* base, u32* gsi) {
  static const char kWord[] = "virtio_mmio.device=";
  for (const char* at = machine.command_line; *at; at = next_word(at)) {
    if (strncmp(at, kWord, sizeof kWord - 1) != 0) continue;
    if (n--) continue;
    const char* from = at + sizeof kWord - 1;
    while (*from && *from != ' ' && *from != '@') ++from;
    if (*from != '@') return false;
    ++from;
    *base = parse_number(&from);
    if (*from != ':') return false;
    ++from;
    *gsi = (u32)parse_number(&from);
    return true;
  }
  return false;
}

u64 timeout_ticks(void) {
  static u64 ticks;
  if (!ticks) ticks = word_number("timeout", 10000) * 1000000;
  return ticks;
}

void delay_ticks(u64 ticks) {
  u64 start = tsc_read();
  while (tsc_read() - start < ticks) cpu_pause();
}

static void __attribute__((noreturn)) halt_forever(void) {
  for (;;) __asm__ volatile("cli; hlt");
}

static void __attribute__((noreturn)) triple_fault(void) {
  // An empty IDT and then an exception: neither the page fault nor the double fault can be delivered. A load from a
  // page that is not mapped, because an emulating KVM answers ud2 with an emulation failure and not with #UD.
  struct {
    u16 limit;
    u64 base;
  } __attribute__((packed)) empty = {0, 0};
  __asm__ volatile("cli; lidt %0; movq (%1), %%rax" : : "m"(empty), "r"(1ull << 40) : "rax");
  halt_forever();
}

void machine_exit(void) {
  char means[32] = "triple";
  word_text("exit", means, sizeof means);
  if (strcmp(means, "acpi") == 0) {
    // ACPI 6.5 §4.8.3.7, sleep control register: SLP_TYP 5 in bits 2..4, SLP_EN in bit 5.
    port_write8((u16)word_number("sleep", 0), 5 << 2 | 1 << 5);
  } else if (strcmp(means, "reset") == 0) {
    char text[32] = "";
    word_text("reset", text, sizeof text);
    const char* at = text;
    u16 port = (u16)parse_number(&at);
    u8 value = 1;
    if (*at == ':') {
      ++at;
      value = (u8)parse_number(&at);
    }
    for (u32 i = 0; i < 100; ++i) {  // until it works, as drivers do
      port_write8(port, value);
      if (word_number("impatient", 0)) triple_fault();  // as Linux does when it has no other way
    }
  } else if (strcmp(means, "halt") == 0) {
    halt_forever();
  } else {
    triple_fault();
  }
  // A machine that took the write is gone by now; one that did not is reported and stopped.
  delay_ticks(200000000);
  console_printf("FAIL exit: the machine is still running after exit=%s\n", means);
  halt_forever();
}
