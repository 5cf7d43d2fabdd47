// A guest that does to configuration space what no system does. The machine has a disk on PCI at slot 2 and a root port
// at slot 3 with another disk below it; the sums that it prints at boot must be the same after each reset.
#include "console.h"
#include "cpu.h"
#include "machine.h"
#include "pci.h"
#include "test.h"

enum { CONFIG_BYTES = 256, EXTENDED_BYTES = 4096, ECAM_REGISTER = 0x60 };
enum { COMMAND = 0x04, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, BAR0 = 0x10 };
enum { DISK = 2 << 3, PORT = 3 << 3, LPC = 0x1f << 3, BELOW = 1 << 8 };
enum { VENDOR_VIRTIO = 0x1af4, DEVICE_DISK = 0x1042, CAPABILITY_EXPRESS = 0x10, CAPABILITY_MSIX = 0x11 };
enum { WINDOW = 0xc0000000, SOMEWHERE_ELSE = 0xd0000000, TABLE = 0x10000 };
enum { BUS_NUMBERS = 0x18, MEMORY_WINDOW = 0x20, SLOT_CONTROL = 0x18, SLOT_POWER_OFF = 1 << 10 };
enum { ADDRESS_PORT = 0xcf8, DATA_PORT = 0xcfc };

static u64 noise_state = 0x9e3779b97f4a7c15ull;
static u32 noise(void) {
  noise_state ^= noise_state << 13;
  noise_state ^= noise_state >> 7;
  noise_state ^= noise_state << 17;
  return (u32)(noise_state >> 16);
}

static void add(u64* sum, u32 value) {
  *sum = (*sum ^ value) * 0x100000001b3ull;
}

static void add_function(u64* sum, pci_function function) {
  add(sum, function);
  for (u32 offset = 0; offset < EXTENDED_BYTES; offset += 4) add(sum, pci_memory_read(function, offset, 4));
}

static bool add_to_sum(pci_function function, void* sum) {
  add_function(sum, function);
  return true;
}

// Bus 1 is below the port, with the whole window.
static void open_bus(void) {
  pci_port_write(PORT, BUS_NUMBERS, 4, 0x010100);
  pci_port_write(PORT, MEMORY_WINDOW, 4, 0xeff00000 | WINDOW >> 16);
  pci_port_write(PORT, COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER);
}

static void close_bus(void) {
  pci_port_write(PORT, COMMAND, 2, 0);
  pci_port_write(PORT, MEMORY_WINDOW, 4, 0);
  pci_port_write(PORT, BUS_NUMBERS, 4, 0);
}

static void place_disk(pci_function disk, u32 base, u32 table, u16 command) {
  pci_port_write(disk, BAR0 + 4 * 1, 4, table);
  pci_port_write(disk, BAR0 + 4 * 2, 4, base);
  pci_port_write(disk, BAR0 + 4 * 3, 4, 0);
  pci_port_write(disk, COMMAND, 2, command);
}

// The common configuration (virtio 1.2 §4.1.4.3), each field by its width, and the MSI-X table with its pending bits.
static bool add_registers(u64* sum, pci_function disk) {
  static const u8 kWidths[] = {4, 4, 4, 4, 2, 2, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4};
  u32 capability = pci_capability(disk, CAPABILITY_MSIX, 0), at = 0;
  u32 entries = (pci_port_read(disk, capability + 2, 2) & 0x7ff) + 1u;
  u32 pending = pci_port_read(disk, capability + 8, 4) & ~7u;
  place_disk(disk, WINDOW, WINDOW + TABLE, COMMAND_MEMORY);
  u16 queues = mmio_read16(WINDOW + 0x12);
  for (u32 i = 0; i < COUNT_OF(kWidths); at += kWidths[i++]) {
    u64 from = WINDOW + at;
    add(sum, kWidths[i] == 1 ? mmio_read8(from) : kWidths[i] == 2 ? mmio_read16(from) : mmio_read32(from));
  }
  for (u32 offset = 0; offset < 16 * entries; offset += 4) add(sum, mmio_read32(WINDOW + TABLE + offset));
  add(sum, mmio_read32(WINDOW + TABLE + pending));
  place_disk(disk, 0, 0, 0);
  return queues >= 1 && queues <= 64;
}

// Of all registers of all functions, and of the disks' own: the state that a reset brings back.
static enum test_result pci_power_on_state(void) {
  u64 sum = 0;
  CHECK(pci_for_each(add_to_sum, &sum), "a visit was broken off");
  CHECK(add_registers(&sum, DISK), "the disk has no queues");
  open_bus();
  CHECK(pci_memory_read(BELOW, 0, 4) == (DEVICE_DISK << 16 | VENDOR_VIRTIO), "there is no disk below the port");
  add_function(&sum, BELOW);
  CHECK(add_registers(&sum, BELOW), "the disk below the port has no queues");
  close_bus();
  console_printf("PCISUM %lx\n", sum);
  return TEST_PASS;
}

static u64 read_memory(u64 address, u32 width) {
  if (width == 1) return mmio_read8(address);
  if (width == 2) return mmio_read16(address);
  return width == 4 ? mmio_read32(address) : mmio_read64(address);
}

// Every register by every width at every alignment, in memory and by ports: each says what its bytes say one by one.
static bool reads_as_its_bytes(pci_function function, void* context) {
  static u8 bytes[EXTENDED_BYTES + 8];
  u64 base = word_number("ecam", 0) + ((u64)function << 12);
  u32* wrong = context;
  for (u32 offset = 0; offset < EXTENDED_BYTES; ++offset) bytes[offset] = mmio_read8(base + offset);
  for (u32 offset = 0; offset < EXTENDED_BYTES; ++offset) {
    u64 expected = 0;
    for (u32 i = 8; i--;) expected = expected << 8 | bytes[offset + i];
    for (u32 width = 1; width <= 8 && offset + width <= EXTENDED_BYTES; width *= 2) {
      u64 mask = width == 8 ? ~0ull : (1ull << 8 * width) - 1;
      bool by_ports = offset < CONFIG_BYTES && (offset & 3) + width <= 4;
      if (read_memory(base + offset, width) == (expected & mask) &&
          (!by_ports || pci_port_read(function, offset, width) == (expected & mask)))
        continue;
      *wrong = (u32)function << 16 | offset << 4 | width;
      return false;
    }
  }
  return true;
}

static enum test_result pci_every_width_and_alignment(void) {
  u32 wrong = 0;
  open_bus();
  bool agree = pci_for_each(reads_as_its_bytes, &wrong) && reads_as_its_bytes(BELOW, &wrong);
  close_bus();
  CHECK(agree, "function 0x%x, offset 0x%x, width %u does not read as its bytes", wrong >> 16, wrong >> 4 & 0xfff,
        wrong & 15);
  return TEST_PASS;
}

static enum test_result pci_absent_functions(void) {
  static const pci_function kAbsent[] = {1 << 3, DISK + 1, 0x1e << 3, 5 << 8, 0x7f << 8 | 0xff, 0xff << 8 | 0xff};
  for (u32 i = 0; i < COUNT_OF(kAbsent); ++i) {
    for (u32 offset = 0; offset < CONFIG_BYTES; offset += 4) {
      pci_port_write(kAbsent[i], offset, 4, 0);
      pci_memory_write(kAbsent[i], offset, 4, 0);
      CHECK(pci_port_read(kAbsent[i], offset, 4) == ~0u, "0x%x is there by ports", kAbsent[i]);
      CHECK(pci_memory_read(kAbsent[i], offset, 4) == ~0u, "0x%x is there by memory", kAbsent[i]);
      CHECK(pci_memory_read(kAbsent[i], offset + 1, 1) == 0xff, "0x%x has a byte", kAbsent[i]);
    }
  }
  return TEST_PASS;
}

static bool size_bars(pci_function function, void* context) {
  const char** why = context;
  u32 bars = pci_port_read(function, 0x0e, 1) & 0x7f ? 2 : 6;
  pci_port_write(function, COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER);
  for (u32 i = 0; i < bars; ++i) {
    u32 offset = BAR0 + 4 * i, before = pci_port_read(function, offset, 4);
    pci_port_write(function, offset, 4, ~0u);
    // What is writable is one run of ones at the top (PCI 3.0 §6.2.5.1); the low bits tell the kind
    u32 rest = ~(pci_port_read(function, offset, 4) & ~15u);
    if (rest & (rest + 1)) *why = "the size of a BAR is no power of two";
    pci_port_write(function, offset, 4, before);
    if (pci_port_read(function, offset, 4) != before) *why = "a BAR does not come back";
  }
  pci_port_write(function, COMMAND, 2, 0);
  return !*why;
}

static enum test_result pci_bars_are_sized(void) {
  const char* why = NULL;
  pci_for_each(size_bars, &why);
  CHECK(!why, "%s", why);
  return TEST_PASS;
}

// The disk's 64-bit BAR with its registers, in the 32-bit window.
static enum test_result pci_registers_move(void) {
  u32 bar = BAR0 + 4 * 2;
  pci_port_write(DISK, bar, 4, WINDOW);
  pci_port_write(DISK, bar + 4, 4, 0);
  pci_port_write(DISK, COMMAND, 2, COMMAND_MEMORY);
  u16 queues = mmio_read16(WINDOW + 0x12);
  CHECK(queues >= 1 && queues <= 64, "%u queues", queues);
  for (u32 i = 0; i < 50; ++i) {
    u32 to = i & 1 ? WINDOW : SOMEWHERE_ELSE, from = i & 1 ? SOMEWHERE_ELSE : WINDOW;
    pci_port_write(DISK, bar, 4, to);
    CHECK(mmio_read16(to + 0x12u) == queues, "move %u: the registers are not at 0x%x", i, to);
    CHECK(mmio_read16(from + 0x12u) == 0xffff, "move %u: something is left at 0x%x", i, from);
  }
  pci_port_write(DISK, COMMAND, 2, 0);
  CHECK(mmio_read16(WINDOW + 0x12) == 0xffff, "the registers are there without decoding");
  return TEST_PASS;
}

// Over RAM, the configuration space itself, the local APIC, at the end of the address space.
static enum test_result pci_bars_in_the_way(void) {
  static const u32 kPlaces[] = {0, 0x100000, 0x1000000, 0xb0000000, 0xfec00000, 0xfee00000, 0xffffc000, 0x7fffc000};
  volatile u64 witness = 0x1122334455667788ull;
  for (u32 i = 0; i < COUNT_OF(kPlaces); ++i) {
    for (u32 bar = 1; bar <= 2; ++bar) {
      pci_port_write(DISK, BAR0 + 4 * bar, 4, kPlaces[i]);
      pci_port_write(DISK, BAR0 + 4 * 3, 4, 0);
    }
    pci_port_write(DISK, COMMAND, 2, COMMAND_MEMORY);
    CHECK(witness == 0x1122334455667788ull, "memory reads otherwise with a BAR at 0x%x", kPlaces[i]);
    CHECK(pci_memory_read(DISK, 0, 2) == VENDOR_VIRTIO, "no configuration with a BAR at 0x%x", kPlaces[i]);
    pci_port_write(DISK, COMMAND, 2, 0);
  }
  return TEST_PASS;
}

// MSI-X: every word of the table and beyond, masks and enables in between.
static enum test_result pci_interrupt_table(void) {
  u32 capability = pci_capability(DISK, CAPABILITY_MSIX, 0);
  CHECK(capability, "the disk has no MSI-X");
  pci_port_write(DISK, BAR0 + 4, 4, WINDOW);
  pci_port_write(DISK, COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER);
  for (u32 round = 0; round < 4; ++round) {
    for (u32 offset = 0; offset < 0x1000; offset += 4) mmio_write32(WINDOW + offset, noise());
    for (u32 offset = 1; offset < 0x1000; offset += 97) mmio_write64(WINDOW + offset, noise());
    pci_port_write(DISK, capability + 2, 2, noise());
  }
  pci_port_write(DISK, capability + 2, 2, 0);
  pci_port_write(DISK, COMMAND, 2, 0);
  return TEST_PASS;
}

static void write_memory(u64 address, u32 width, u64 value) {
  if (width == 1) mmio_write8(address, (u8)value);
  if (width == 2) mmio_write16(address, (u16)value);
  if (width == 4) mmio_write32(address, (u32)value);
  if (width == 8) mmio_write64(address, value);
}

static bool touches(u32 offset, u32 width, u32 reg, u32 bytes) {
  return offset < reg + bytes && offset + width > reg;
}

// Not what would give the disk below the port back to its owner: that the slot is switched off.
static bool switches_slot(pci_function function, u32 express, u32 offset, u32 width) {
  return function == PORT && touches(offset, width, express + SLOT_CONTROL, 2);
}

// Noise at every offset by every width; not where the slot is switched, nor what moves the configuration itself.
static void noise_everywhere(pci_function function, u32 express) {
  u64 base = word_number("ecam", 0) + ((u64)function << 12);
  for (u32 offset = 0; offset < EXTENDED_BYTES; ++offset) {
    for (u32 width = 1; width <= 8 && offset + width <= EXTENDED_BYTES; width *= 2) {
      if (switches_slot(function, express, offset, width)) continue;
      if (function == 0 && touches(offset, width, ECAM_REGISTER, 8)) continue;
      write_memory(base + offset, width, (u64)noise() << 32 | noise());
    }
  }
}

static void noise_by_memory(pci_function function, u32 express, u32 writes, u32 end) {
  u64 base = word_number("ecam", 0) + ((u64)function << 12);
  while (writes--) {
    u32 width = 1u << noise() % 4, offset = noise() % (end - 7);
    if (!switches_slot(function, express, offset, width))
      write_memory(base + offset, width, (u64)noise() << 32 | noise());
  }
}

// Registers by any width at any of the data's ports; those beyond 0xCFF are nobody's.
static void noise_by_ports(pci_function function, u32 express, u32 writes) {
  while (writes--) {
    u32 width = 1u << noise() % 3, within = noise() % 4, offset = noise() % CONFIG_BYTES & ~3u;
    if (switches_slot(function, express, offset + within, width)) continue;
    u32 address = 0x80000000u | (u32)function << 8 | offset, value = noise();
    u16 port = (u16)(DATA_PORT + within);
    __asm__ volatile("outl %0, %1" : : "a"(address), "Nd"((u16)ADDRESS_PORT));
    if (width == 1) __asm__ volatile("outb %b0, %1" : : "a"(value), "Nd"(port));
    if (width == 2) __asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"(port));
    if (width == 4) __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
    if (width == 4) __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    if (width == 2) __asm__ volatile("inw %1, %w0" : "=a"(value) : "Nd"(port));
  }
}

// The address's ports by less than four bytes; not the byte at 0xCF9, which resets the machine.
static void noise_in_the_address(void) {
  for (u32 i = 0; i < 50; ++i) {
    u32 value = noise();
    __asm__ volatile("outb %b0, %1" : : "a"(value), "Nd"((u16)ADDRESS_PORT));
    __asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"((u16)ADDRESS_PORT));
    __asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"((u16)(ADDRESS_PORT + 1)));
    __asm__ volatile("outb %b0, %1" : : "a"(value), "Nd"((u16)(ADDRESS_PORT + 2)));
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"((u16)(ADDRESS_PORT + 1)));
    __asm__ volatile("outw %w0, %1" : : "a"(value), "Nd"((u16)(ADDRESS_PORT + 3)));
  }
}

// By memory first, since noise in the host bridge moves that away; ports go on telling who is there.
static enum test_result pci_noise(void) {
  static const pci_function kFunctions[] = {BELOW, DISK, LPC, PORT, 0};
  u32 express = pci_capability(PORT, CAPABILITY_EXPRESS, 0);
  CHECK(express, "the port has no PCI Express capability");
  for (u32 round = 0; round < 2; ++round) {
    for (u32 i = 0; i < COUNT_OF(kFunctions); ++i) {
      open_bus();
      CHECK(pci_memory_read(BELOW, 0, 4) == (DEVICE_DISK << 16 | VENDOR_VIRTIO), "the disk below is gone, %u", round);
      if (round == 0) noise_everywhere(kFunctions[i], express);
      noise_by_memory(kFunctions[i], express, 200, kFunctions[i] ? EXTENDED_BYTES : ECAM_REGISTER);
    }
    for (u32 i = 0; i < 50; ++i) pci_memory_write(PORT, express + SLOT_CONTROL, 2, noise() & ~(u32)SLOT_POWER_OFF);
  }
  noise_by_memory(0, express, 200, EXTENDED_BYTES);
  for (u32 i = 0; i < COUNT_OF(kFunctions); ++i) {
    open_bus();
    noise_by_ports(kFunctions[i], express, 600);
    noise_in_the_address();
  }
  open_bus();
  CHECK(pci_port_read(BELOW, 0, 4) == (DEVICE_DISK << 16 | VENDOR_VIRTIO), "the disk below is no disk any more");
  CHECK(pci_port_read(DISK, 0, 4) == (DEVICE_DISK << 16 | VENDOR_VIRTIO), "the disk is no disk any more");
  CHECK(pci_port_read(0, 0, 2) == 0x8086, "the host bridge is gone");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"pci_power_on_state", pci_power_on_state},
    {"pci_every_width_and_alignment", pci_every_width_and_alignment},
    {"pci_absent_functions", pci_absent_functions},
    {"pci_bars_are_sized", pci_bars_are_sized},
    {"pci_registers_move", pci_registers_move},
    {"pci_bars_in_the_way", pci_bars_in_the_way},
    {"pci_interrupt_table", pci_interrupt_table},
    {"pci_noise", pci_noise},
};
const struct theme theme_pci = {"pci", kTests, COUNT_OF(kTests), false};
