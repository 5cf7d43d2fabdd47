/* Draft. The state that a machine starts its first vCPU in. Only for plugins of tier locked. */
#ifndef NACRE_ABI_VCPU_H
#define NACRE_ABI_VCPU_H

#include <nacre/abi/base.h>

/* A segment as the processor caches it (Intel SDM volume 3, §3.4.3). */
typedef struct nacre_x86_segment {
  uint64_t base;
  uint32_t limit;   /* bytes - 1, whatever the granularity bit says */
  uint16_t selector;
  uint16_t access;  /* bits 0-3 type, 4 S, 5-6 DPL, 7 P, 8 AVL, 9 L, 10 D/B, 11 G */
} nacre_x86_segment;

typedef struct nacre_x86_state {
  uint32_t size;
  uint32_t reserved;
  uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
  uint64_t rip, rflags;
  nacre_x86_segment cs, ds, es, fs, gs, ss, tr, ldt;
  uint64_t gdt_base, idt_base;
  uint16_t gdt_limit, idt_limit;
  uint32_t reserved2;
  uint64_t cr0, cr3, cr4, efer;
} nacre_x86_state;

#define NACRE_EXT_VCPU "nacre.vcpu/1"
typedef struct nacre_vcpu_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main, in boot] The state in which vCPU `index` begins; the others wait for INIT and SIPI. */
  nacre_status (*set_x86_state)(nacre_instance *machine, uint32_t index, const nacre_x86_state *state,
                                nacre_error *error) NACRE_NOEXCEPT;
} nacre_vcpu_v1;

#endif
