// Exceptions, and device interrupts through the I/O APIC, edge-triggered, or as messages, and the local APIC.
#ifndef NACRE_TESTS_GUEST_INTERRUPTS_H_
#define NACRE_TESTS_GUEST_INTERRUPTS_H_

#include "types.h"

// Loads the IDT and enables the local APIC; the 8259s are masked. Device interrupts stay off in RFLAGS.
void interrupts_init(void);

typedef void (*interrupt_handler)(void* argument);

// Routes I/O APIC input `gsi` (0..23) to the first processor; `handler` runs on it with interrupts off.
void interrupts_connect(u32 gsi, interrupt_handler handler, void* argument);

// Has `handler` run on the first processor, likewise, when the message MESSAGE_ADDRESS with the data that it returns is
// sent; `index` is 0 or 1.
#define MESSAGE_ADDRESS 0xfee00000u
u32 interrupts_message(u32 index, interrupt_handler handler, void* argument);

// Masks the input again.
void interrupts_disconnect(u32 gsi);

// Sends the message `command` (ICR bits 0..31) to the processor with this local APIC id.
void lapic_send(u32 apic_id, u32 command);

u32 lapic_id(void);

#endif
