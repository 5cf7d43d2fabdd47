// Port 0x64 without a keyboard controller.
#pragma once

#include "machines/common/claimed_ports.hpp"

namespace nacre::machine {

// Answers at the controller's status port so that nobody waits for it. Bit 0 (output full) is always set, by which a
// driver that looks for a controller sees that there is none. Bit 1 (input full) is clear: a kernel that is about to
// restart by way of the controller waits for that, ten times 131 ms, and at each look leaves the guest. Of the commands
// only the pulse of the reset line is known, and that where the machine has the line; elsewhere such a kernel soon
// takes its next way.
class KeyboardPort {
 public:
  enum class ResetLine { kNone, kMachine };

  // [main] Takes the port. Fails when another device has it.
  sdk::Status claim(nacre_instance* machine, ResetLine line, nacre_error* slot) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0,
                                         [](void*, uint64_t, uint32_t) noexcept -> uint64_t { return 0xfd; }, on_write};
    return port_.claim(machine, 0x64, 1, &kOps, line == ResetLine::kMachine ? machine : nullptr,
                       "port 0x64 is not free", slot);
  }

 private:
  static void on_write(void* machine, uint64_t, uint32_t, uint64_t value) noexcept {
    constexpr uint64_t kPulseResetLine = 0xfe;
    if (machine && value == kPulseResetLine)
      sdk::host.lifecycle->request(static_cast<nacre_instance*>(machine), NACRE_REQUEST_RESET);
  }

  ClaimedPorts port_;
};

}  // namespace nacre::machine
