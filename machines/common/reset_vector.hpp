// What stands where a PC's firmware begins. Linux on hardware-reduced ACPI without EFI does not use the reset register:
// it restarts by a jump in real mode to FFFF:0000 (arch/x86/kernel/reboot.c, BOOT_EFI falling back to BOOT_BIOS). So
// does any kernel that has tried the keyboard controller in vain.
#pragma once

#include <nacre/memory.hpp>
#include <nacre/result.hpp>
#include <optional>

namespace nacre::machine {

// Writes the real-mode code for 0xFFFF0: it writes the reset value 1 to `reset_port`, or, without one, shuts the
// processor down by a triple fault. Fails only when the memory is not there.
sdk::Status write_reset_vector(std::optional<uint16_t> reset_port, const sdk::MemoryView& memory);

}  // namespace nacre::machine
