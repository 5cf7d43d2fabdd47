// Port 0x64 without a keyboard controller.
#pragma once

#include "machines/common/claimed_ports.hpp"

namespace nacre::machine {

// Answers at the controller's status port so that nobody waits for it. Bit 0 (output full) is always set, by which a
// driver that looks for a controller sees that there is none. Bit 1 (input full) is clear: a kernel that is about to
// restart by way of the controller waits for that, ten times 131 ms, and at each look leaves the guest. Commands go
// nowhere, so such a kernel soon takes its next way.
class KeyboardPort {
 public:
  // [main] Takes the port. Fails when another device has it.
  sdk::Status claim(nacre_instance* machine, nacre_error* slot) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0,
                                         [](void*, uint64_t, uint32_t) noexcept -> uint64_t { return 0xfd; },
                                         [](void*, uint64_t, uint32_t, uint64_t) noexcept {}};
    return port_.claim(machine, 0x64, 1, &kOps, nullptr, "port 0x64 is not free", slot);
  }

 private:
  ClaimedPorts port_;
};

}  // namespace nacre::machine
