// The host's services for plugins: each extension of <nacre/abi/registry.h> is a table in a file of its own here.
#pragma once

#include <nacre/abi/registry.h>

#include <chrono>
#include <functional>

#include "core/vm/instance.hpp"
#include "core/vm/plugin_function.hpp"

namespace nacre::services {

// What every plugin is greeted with. Lives as long as the process.
const nacre_host_hello& hello();

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
extern const nacre_block_v1 kBlock;
extern const nacre_chardev_v1 kChardev;
extern const nacre_rng_v1 kRng;
extern const nacre_balloon_v1 kBalloon;
extern const nacre_net_v1 kNet;
extern const nacre_machine_v1 kMachine;
extern const nacre_vcpu_v1 kVcpu;
extern const nacre_pci_v1 kPci;

// Drops what the instance has posted to its loop, see loop.h: before its destroy(). It can post no more.
void end_posts(nacre_instance& instance);

// Takes back, after a device's destroy(), whatever it has not given back itself, and logs that.
void take_back(nacre_instance& instance);

// [any] The disks of the instance ask nothing more of the host, until the instance is reset or go_on(). True when
// nothing is under way there, which the host is given so long for; else `settled` comes on the instance's loop when
// that may be so, posted in the name of `owner`: ask again then.
bool hold(nacre_instance& instance, std::chrono::milliseconds patience, const std::function<void()>& settled,
          const void* owner);
void go_on(nacre_instance& instance);

// Removes a QMP command that the instance has added.
void forget_command(nacre_instance& instance, std::string name);

// What a plugin's handle of its PCI function stands for.
PluginFunction* function_of(nacre_pci* pci);

// The C status for an outcome, with its words in the slot.
nacre_status finish(const Status& status, nacre_error* slot, nacre_status code = NACRE_INVALID);

}  // namespace nacre::services
