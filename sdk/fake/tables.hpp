// The fake host's tables, each in the file of its topic.
#pragma once

#include <nacre/abi/registry.h>

#include <string>

namespace nacre::fake {

// Puts the words into the slot, which may be NULL; returns `status`.
nacre_status say(nacre_error* slot, nacre_status status, const std::string& text);
// Notes an offence where the calling thread is not the main one.
void main_only(const char* function);

extern const nacre_log_v1 kLog;
extern const nacre_error_v1 kError;
extern const nacre_props_v1 kProps;
extern const nacre_memory_v1 kMemory;
extern const nacre_irq_v1 kIrq;
extern const nacre_mmio_v1 kMmio;
extern const nacre_virtio_v1 kVirtio;
extern const nacre_loop_v1 kLoop;
extern const nacre_qmp_v1 kQmp;
extern const nacre_state_v1 kState;
extern const nacre_lifecycle_v1 kLifecycle;
extern const nacre_balloon_v1 kBalloon;
extern const nacre_pci_v1 kPci;

}  // namespace nacre::fake
