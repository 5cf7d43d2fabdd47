// Further processors.
#ifndef NACRE_TESTS_GUEST_SMP_H_
#define NACRE_TESTS_GUEST_SMP_H_

#include "types.h"

// Starts the processor with this local APIC id by INIT and SIPI; it says so on the console. One that is `to_rest` halts
// then, another waits for smp_io. Returns false when it does not start. At most 63 starts in all.
bool processor_start(u32 id, bool to_rest);

#endif
