# XEN_ELFNOTE_PHYS32_ENTRY: where a PVH loader enters, in 32-bit protected mode. Left out of baremetal64.elf.
  .section .note.Xen, "a", @note
  .balign 4
  .long 4                       # size of the name
  .long 4                       # size of the descriptor
  .long 18                      # XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long pvh_start

  .section .note.GNU-stack, "", @progbits
