// What a filter would say of a call, without a kernel: for tests and for the derivation of the lists.
#pragma once

#include <array>
#include <vector>

#include "core/sandbox/sandbox.hpp"

namespace nacre::sandbox {

struct Call {
  int32_t number;
  std::array<uint64_t, 6> arguments{};
};

// Returns what the kernel would do with the call (SECCOMP_RET_*), on this machine. Any thread.
uint32_t verdict(const std::vector<Step>& filter, const Call& call);

}  // namespace nacre::sandbox
