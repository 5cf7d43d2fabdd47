# Entry points, page tables, descriptor tables, interrupt stubs and the start of further processors.
#
#   pvh_start    32-bit protected mode, paging off, EBX = hvm_start_info   (Xen PVH, named by the note in pvh_note.S)
#   linux_start  64-bit mode, RSI = zero page                              (Linux boot protocol, e_entry of the ELF)
#
# Both end in guest_main(protocol, info) in 64-bit mode with the first 4 GiB mapped one to one.

#define CODE32 0x08
#define CODE64 0x10
#define DATA   0x18
#define AP_STACK_BYTES 16384

  .section .text.boot, "ax"

  .code32
  .globl pvh_start
pvh_start:
  cli
  cld
  movl $boot_stack_end, %esp
  movl %ebx, %esi
  xorl %edi, %edi               # BOOT_PVH
  jmp enter_long_mode

# Expects EDI and ESI as arguments of the C function; both survive the switch, which clears their upper halves.
enter_long_mode:
  lgdt gdt_pointer
  movl %cr4, %eax
  orl $0x20, %eax               # PAE
  movl %eax, %cr4
  movl $page_map_level_4, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx        # EFER
  rdmsr
  orl $0x100, %eax              # LME
  wrmsr
  movl %cr0, %eax
  orl $0x80000001, %eax         # PG, PE
  movl %eax, %cr0
  ljmp $CODE64, $long_mode

  .code64
long_mode:
  call load_data_segments
  movl %esp, %esp
  movl %edi, %edi
  movl %esi, %esi
  call guest_main
1:
  hlt
  jmp 1b

  .globl linux_start
linux_start:
  cli
  cld
  movq $boot_stack_end, %rsp
  lgdt gdt_pointer
  movq $page_map_level_4, %rax
  movq %rax, %cr3
  pushq $CODE64
  pushq $1f
  lretq
1:
  call load_data_segments
  movl $1, %edi                 # BOOT_LINUX64
  call guest_main
2:
  hlt
  jmp 2b

load_data_segments:
  movl $DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  movl %eax, %gs
  ret

# Further processors begin in real mode at a page below 1 MiB, to which the lines between ap_trampoline and
# ap_trampoline_end are copied, and go on here.
  .code16
  .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
  cli
  cld
  movw %cs, %ax
  movw %ax, %ds
  lgdtl (ap_gdt_pointer - ap_trampoline)
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $CODE32, $ap_start32
ap_gdt_pointer:
  .word gdt_end - gdt - 1
  .long gdt
ap_trampoline_end:

  .code32
ap_start32:
  movl $DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl $1, %eax
  lock xaddl %eax, ap_next_index
  cmpl $63, %eax                # as many as there are stacks
  jae ap_stop
  movl %eax, %esi
  incl %eax
  imull $AP_STACK_BYTES, %eax, %eax
  addl $ap_stacks, %eax
  movl %eax, %esp
  movl %cr4, %eax
  orl $0x20, %eax
  movl %eax, %cr4
  movl $page_map_level_4, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x100, %eax
  wrmsr
  movl %cr0, %eax
  orl $0x80000001, %eax
  movl %eax, %cr0
  ljmp $CODE64, $ap_long_mode
ap_stop:
  cli
  hlt
  jmp ap_stop

  .code64
ap_long_mode:
  movl %esp, %esp
  movl %esi, %edi
  call ap_main
1:
  cli
  hlt
  jmp 1b

# One stub of 16 bytes a vector: pushes an error code of zero where the processor pushes none, then the vector.
  .balign 16
  .globl interrupt_stubs
interrupt_stubs:
  .set vector, 0
  .rept 64
  .balign 16
  .if (vector == 8) || (vector == 17) || (vector == 21) || ((vector >= 10) && (vector <= 14))
  .else
  pushq $0
  .endif
  pushq $vector
  jmp interrupt_common
  .set vector, vector + 1
  .endr

interrupt_common:
  pushq %rax
  pushq %rcx
  pushq %rdx
  pushq %rsi
  pushq %rdi
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  cld
  movq 72(%rsp), %rdi           # vector
  movq 80(%rsp), %rsi           # error code
  movq 88(%rsp), %rdx           # RIP
  pushq %rbx
  movq %rsp, %rbx
  andq $-16, %rsp
  call interrupt_dispatch
  movq %rbx, %rsp
  popq %rbx
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rdi
  popq %rsi
  popq %rdx
  popq %rcx
  popq %rax
  addq $16, %rsp
  iretq

# Written out by the assembler, so that no instruction is spent on it. 2 MiB pages: present, writable, accessed, dirty.
  .section .data.boot, "aw"
  .balign 4096
page_map_level_4:
  .quad page_directory_pointers + 0x3
  .fill 511, 8, 0
page_directory_pointers:
  .quad page_directories + 0x0003
  .quad page_directories + 0x1003
  .quad page_directories + 0x2003
  .quad page_directories + 0x3003
  .fill 508, 8, 0
page_directories:
  .set page, 0
  .rept 2048
  .quad page + 0xe3
  .set page, page + 0x200000
  .endr

  .balign 16
gdt:
  .quad 0
  .quad 0x00cf9b000000ffff      # CODE32
  .quad 0x00af9b000000ffff      # CODE64, the Linux boot protocol's __BOOT_CS
  .quad 0x00cf93000000ffff      # DATA, its __BOOT_DS
gdt_end:
gdt_pointer:
  .word gdt_end - gdt - 1
  .quad gdt

  .balign 4
  .globl ap_next_index
ap_next_index:
  .long 0

  .section .bss.boot, "aw", @nobits
  .balign 4096
boot_stack:
  .skip 65536
boot_stack_end:
ap_stacks:
  .skip 63 * AP_STACK_BYTES

  .section .note.GNU-stack, "", @progbits
