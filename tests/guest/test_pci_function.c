// A PCI function of a plugin's with everything that one can have (tests/plugins/fixtures/every_pci.cpp), at slot 4. Its
// file has the words of `kInFile` in either page.
#include "console.h"
#include "cpu.h"
#include "interrupts.h"
#include "machine.h"
#include "memory.h"
#include "pci.h"
#include "test.h"

enum { FUNCTION = 4 << 3, IDENTITY = 0x56781234, INTX_GSI = 16 };
enum { COMMAND = 0x04, COMMAND_IO = 1, COMMAND_MEMORY = 2, COMMAND_MASTER = 4, BAR0 = 0x10 };
enum { REGISTERS = 0xc0000000, TABLE = 0xc0100000, PORTS = 0xc000, PAGE = 0x1000, BAR_BYTES = 4 * PAGE };
enum { EVENT = 0x08, INTERRUPT = 0x10, EVENT_WRITES = 0x18, LAST_WRITE = 0x20 };
enum { CAPABILITY_VENDOR = 0x09, CAPABILITY_MSIX = 0x11, EXTENDED_VENDOR = 0x0b };
static const u64 kInFile = 0x656c696665687466ull, kFromGuest = 0x7473657567656874ull;

static volatile u32 came[2];
static void count(void* counter) {
  ++*(volatile u32*)counter;
}

// Waits with interrupts on until it has counted that far; and a little after that, to see whether it counts on.
static bool wait_for(volatile u32* counter, u32 value) {
  u64 start = tsc_read();
  interrupts_enable();
  while (*counter < value && tsc_read() - start < timeout_ticks()) cpu_pause();
  delay_ticks(10000000);
  interrupts_disable();
  return *counter == value;
}

static void place(void) {
  pci_port_write(FUNCTION, BAR0, 4, REGISTERS);
  pci_port_write(FUNCTION, BAR0 + 4, 4, PORTS);
  pci_port_write(FUNCTION, BAR0 + 8, 4, TABLE);
  pci_port_write(FUNCTION, COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
}

static enum test_result pci_function_capabilities(void) {
  CHECK(pci_port_read(FUNCTION, 0, 4) == IDENTITY, "slot 4 has 0x%x", pci_port_read(FUNCTION, 0, 4));
  u32 vendor = pci_capability(FUNCTION, CAPABILITY_VENDOR, 0);
  CHECK(vendor, "there is no vendor's capability");
  CHECK(pci_port_read(FUNCTION, vendor + 4, 4) == 0x6c6c61, "its content");
  pci_port_write(FUNCTION, vendor + 4, 4, 0);
  CHECK(pci_port_read(FUNCTION, vendor + 4, 4) == 0x6c6c61, "what is not writable is written");
  pci_port_write(FUNCTION, vendor + 8, 4, ~0u);
  CHECK(pci_port_read(FUNCTION, vendor + 8, 4) == 0x000fffff, "the writable bits");
  pci_port_write(FUNCTION, vendor + 12, 4, 0x0ff0);
  CHECK(pci_port_read(FUNCTION, vendor + 12, 4) == 0xf00f, "the bits that a 1 clears");
  for (u32 at = 0x100; at; at = pci_memory_read(FUNCTION, at, 4) >> 20)
    if ((pci_memory_read(FUNCTION, at, 4) & 0xffff) == EXTENDED_VENDOR)
      return pci_memory_read(FUNCTION, at + 4, 4) == 0x6c6c61 ? TEST_PASS : test_fail("the extended one's content");
  return test_fail("there is no extended capability");
}

static enum test_result pci_function_memory(void) {
  place();
  CHECK(mmio_read32(REGISTERS) == 0x6c6c61, "the identity is 0x%x", mmio_read32(REGISTERS));
  for (u32 page = 1; page <= 2; ++page)
    CHECK(mmio_read64(REGISTERS + page * PAGE) == kInFile, "page %u is not the file's", page);
  mmio_write64(REGISTERS + PAGE + 8, kFromGuest);
  CHECK(mmio_read64(REGISTERS + PAGE + 8) == kFromGuest, "what is written to the file does not read back");
  mmio_write64(REGISTERS + 2 * PAGE + 16, kFromGuest);
  CHECK(mmio_read32(REGISTERS + LAST_WRITE) == 2 * PAGE + 16, "the plugin has not had a write to what is read-only");
  CHECK(mmio_read64(REGISTERS + 2 * PAGE + 16) != kFromGuest, "what is read-only is written");
  // The file goes with the BAR
  pci_port_write(FUNCTION, BAR0, 4, REGISTERS + BAR_BYTES);
  CHECK(mmio_read64(REGISTERS + BAR_BYTES + PAGE + 8) == kFromGuest, "the file has not moved");
  CHECK(mmio_read64(REGISTERS + PAGE + 8) == ~0ull, "the file is where the BAR was");
  pci_port_write(FUNCTION, COMMAND, 2, 0);
  CHECK(mmio_read64(REGISTERS + BAR_BYTES + PAGE + 8) == ~0ull, "the file is there without decoding");
  return TEST_PASS;
}

static enum test_result pci_function_ports(void) {
  place();
  u16 last = PORTS + 15;
  port_write8(PORTS, 40);
  CHECK(port_read8(last) == 55, "the last port holds %u", (u32)port_read8(last));
  pci_port_write(FUNCTION, COMMAND, 2, COMMAND_MEMORY);
  CHECK(port_read8(last) == 0xff, "the ports are there without decoding");
  return TEST_PASS;
}

// By the pin while MSI-X is off, else by a message of either kind.
static enum test_result pci_function_interrupts(void) {
  u32 msix = pci_capability(FUNCTION, CAPABILITY_MSIX, 0);
  CHECK(msix, "there is no MSI-X");
  place();
  came[0] = came[1] = 0;
  interrupts_connect(INTX_GSI, count, (void*)&came[0]);
  for (u32 i = 1; i <= 3; ++i) {
    mmio_write32(REGISTERS + INTERRUPT, 1);
    CHECK(wait_for(&came[0], i), "%u interrupts by the pin, not %u", came[0], i);
    (void)mmio_read32(REGISTERS + INTERRUPT);
  }
  interrupts_disconnect(INTX_GSI);
  came[0] = 0;
  for (u32 vector = 0; vector < 2; ++vector) {
    mmio_write64(TABLE + 16 * vector, MESSAGE_ADDRESS);
    mmio_write32(TABLE + 16 * vector + 8, interrupts_message(vector, count, (void*)&came[vector]));
    mmio_write32(TABLE + 16 * vector + 12, 0);
  }
  pci_port_write(FUNCTION, msix + 2, 2, 1 << 15);
  for (u32 i = 1; i <= 3; ++i) {
    mmio_write32(REGISTERS + INTERRUPT, 1);
    CHECK(wait_for(&came[0], i), "%u messages of the first vector, not %u", came[0], i);
    mmio_write32(REGISTERS + EVENT, 1);
    CHECK(wait_for(&came[1], i), "%u messages of the second vector, not %u", came[1], i);
  }
  CHECK(came[0] == 3, "the first vector has come %u times", came[0]);
  CHECK(mmio_read32(REGISTERS + EVENT_WRITES) == 0, "writes that an eventfd takes have left the kernel");
  return TEST_PASS;
}

static const struct test kTests[] = {
    {"pci_function_capabilities", pci_function_capabilities},
    {"pci_function_memory", pci_function_memory},
    {"pci_function_ports", pci_function_ports},
    {"pci_function_interrupts", pci_function_interrupts},
};
const struct theme theme_pci_function = {"pci_function", kTests, COUNT_OF(kTests), false};
