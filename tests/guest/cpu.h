// Port and memory-mapped I/O, barriers and the time-stamp counter.
//
// Only instructions that KVM's own instruction emulator knows are used, since a KVM without hardware support runs all
// of a guest's kernel-mode code through it: no mfence, no popcnt, nothing of SSE.
#ifndef NACRE_TESTS_GUEST_CPU_H_
#define NACRE_TESTS_GUEST_CPU_H_

#include "types.h"

static inline void port_write8(u16 port, u8 value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 port_read8(u16 port) {
  u8 value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline u8 mmio_read8(u64 address) {
  u8 value;
  __asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
  return value;
}

static inline u16 mmio_read16(u64 address) {
  u16 value;
  __asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline u32 mmio_read32(u64 address) {
  u32 value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline u64 mmio_read64(u64 address) {
  u64 value;
  __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write8(u64 address, u8 value) {
  __asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

static inline void mmio_write16(u64 address, u16 value) {
  __asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write32(u64 address, u32 value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write64(u64 address, u64 value) {
  __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

// x86 keeps loads and stores each in order, so the compiler is all that must be held back.
static inline void compiler_barrier(void) {
  __asm__ volatile("" : : : "memory");
}

// Orders an earlier store before a later load. A locked instruction, because the emulator has no mfence.
static inline void full_barrier(void) {
  __asm__ volatile("lock; orl $0, (%%rsp)" : : : "memory", "cc");
}

static inline void cpu_pause(void) {
  __asm__ volatile("pause" : : : "memory");
}
static inline void interrupts_enable(void) {
  __asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_disable(void) {
  __asm__ volatile("cli" : : : "memory");
}

static inline u64 tsc_read(void) {
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (u64)high << 32 | low;
}

#endif
