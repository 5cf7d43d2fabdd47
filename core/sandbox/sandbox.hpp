// Which system calls each thread may make once the guest runs. system_calls.txt has the lists and why each call is on
// them; they become filters of the kernel's (Linux Documentation/userspace-api/seccomp_filter.rst) at build time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace nacre::sandbox {

// Own: a thread that a plugin has made by itself; it has the main thread's list, or that of whichever made it.
enum class Kind : uint8_t { Own, Main, IoThread, Vcpu, Worker };

struct Options {
  bool new_code = true;         // plugins may still be mapped
  std::vector<uint32_t> extra;  // numbers of calls that every kind but the worker may make beside
};

// Confines the process: every thread that there is gets the main thread's list, and no_new_privs with it. From here on
// each thread that calls narrow() gets its own, narrower list beside, which nothing takes away again. Call once, on the
// main thread, when all is done that needs more (becoming a daemon, -chroot, -runas, helper processes) and before the
// first instruction of the guest. Fails with a sentence where the kernel cannot; the process must end then.
Status confine(const Options& options);

// [any] Whether confine() was called. Never taken back.
bool confined();

// [any] Gives the calling thread the list of its kind; that it has one already, or that the process is not confined, is
// fine. Its refusals can be told from here on (SIGSYS is not blocked). Where the kernel has no memory for it, the
// thread keeps the wider list, and the log says so.
void narrow(Kind kind);

// [any, also in a signal handler] What the calling thread is, in words: "a vCPU's thread".
const char* kind_words();

// The number of a system call on this machine, or -1 when it has none of that name.
int32_t number_of(const std::string& name);
// [also in a signal handler] Its name, or "" for an unknown one.
const char* name_of(int32_t number);

// Whether every thread that runs a plugin's code may make that call, with any arguments: one of every list, or one that
// confine() was told of. True while the process is not confined.
bool allows(uint32_t number);

// The filter of that kind as the kernel gets it, for tests. `new_code` is of Kind::Main.
struct Step {
  uint16_t code;
  uint8_t if_true, if_false;
  uint32_t operand;
};
std::vector<Step> filter_of(Kind kind, const Options& options);

}  // namespace nacre::sandbox
