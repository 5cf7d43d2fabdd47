#include "interrupts.h"

#include "console.h"
#include "cpu.h"
#include "machine.h"

enum { VECTOR_COUNT = 64, VECTOR_DEVICE_BASE = 0x20, VECTOR_SPURIOUS = 0x3f, GSI_COUNT = 24, MESSAGE_COUNT = 2, CODE64 = 0x10 };

// Intel SDM volume 3, chapter 11; 82093AA I/O APIC data sheet.
#define LAPIC_BASE 0xfee00000ull
#define IOAPIC_BASE 0xfec00000ull
enum {
  LAPIC_ID = 0x20,
  LAPIC_TPR = 0x80,
  LAPIC_EOI = 0xb0,
  LAPIC_SVR = 0xf0,
  LAPIC_ICR_LOW = 0x300,
  LAPIC_ICR_HIGH = 0x310
};
enum { IOAPIC_SELECT = 0x00, IOAPIC_WINDOW = 0x10, IOAPIC_REDIRECTION = 0x10, IOAPIC_MASKED = 1 << 16 };

struct idt_gate {
  u16 offset_low, selector;
  u8 ist, type;
  u16 offset_middle;
  u32 offset_high, reserved;
};

extern u8 interrupt_stubs[];
void interrupt_dispatch(u64 vector, u64 error, u64 rip);

static struct idt_gate idt[VECTOR_COUNT] __attribute__((aligned(16)));
static struct {
  interrupt_handler handler;
  void* argument;
} routes[GSI_COUNT + MESSAGE_COUNT];

void interrupts_init(void) {
  for (u32 vector = 0; vector < VECTOR_COUNT; ++vector) {
    u64 stub = (u64)(uintptr_t)interrupt_stubs + vector * 16;
    idt[vector] = (struct idt_gate){(u16)stub, CODE64, 0, 0x8e, (u16)(stub >> 16), (u32)(stub >> 32), 0};
  }
  struct {
    u16 limit;
    u64 base;
  } __attribute__((packed)) pointer = {sizeof idt - 1, (u64)(uintptr_t)idt};
  __asm__ volatile("lidt %0" : : "m"(pointer));
  port_write8(0x21, 0xff);
  port_write8(0xa1, 0xff);
  mmio_write32(LAPIC_BASE + LAPIC_TPR, 0);
  mmio_write32(LAPIC_BASE + LAPIC_SVR, 0x100 | VECTOR_SPURIOUS);
}

static void ioapic_write(u32 index, u32 value) {
  mmio_write32(IOAPIC_BASE + IOAPIC_SELECT, index);
  mmio_write32(IOAPIC_BASE + IOAPIC_WINDOW, value);
}

void interrupts_connect(u32 gsi, interrupt_handler handler, void* argument) {
  if (gsi >= GSI_COUNT) return;
  routes[gsi].handler = handler;
  routes[gsi].argument = argument;
  compiler_barrier();
  ioapic_write(IOAPIC_REDIRECTION + 2 * gsi + 1, lapic_id() << 24);
  ioapic_write(IOAPIC_REDIRECTION + 2 * gsi, VECTOR_DEVICE_BASE + gsi);
}

// Intel SDM volume 3, §11.11: to the processor with local APIC id 0, fixed, by an edge.
u32 interrupts_message(u32 index, interrupt_handler handler, void* argument) {
  u32 route = GSI_COUNT + index % MESSAGE_COUNT;
  routes[route].handler = handler;
  routes[route].argument = argument;
  compiler_barrier();
  return VECTOR_DEVICE_BASE + route;
}

void interrupts_disconnect(u32 gsi) {
  if (gsi >= GSI_COUNT) return;
  ioapic_write(IOAPIC_REDIRECTION + 2 * gsi, IOAPIC_MASKED);
  routes[gsi].handler = NULL;
}

void lapic_send(u32 apic_id, u32 command) {
  mmio_write32(LAPIC_BASE + LAPIC_ICR_HIGH, apic_id << 24);
  mmio_write32(LAPIC_BASE + LAPIC_ICR_LOW, command);
}

u32 lapic_id(void) {
  return mmio_read32(LAPIC_BASE + LAPIC_ID) >> 24;
}

void interrupt_dispatch(u64 vector, u64 error, u64 rip) {
  if (vector < VECTOR_DEVICE_BASE) {
    u64 cr2;
    __asm__ volatile("movq %%cr2, %0" : "=r"(cr2));
    console_printf("FAIL guest: exception %lu, error 0x%lx, rip 0x%lx, cr2 0x%lx\n", vector, error, rip, cr2);
    machine_exit();
  }
  if (vector == VECTOR_SPURIOUS) return;
  u32 route = (u32)vector - VECTOR_DEVICE_BASE;
  if (route < COUNT_OF(routes) && routes[route].handler) routes[route].handler(routes[route].argument);
  mmio_write32(LAPIC_BASE + LAPIC_EOI, 0);
}
