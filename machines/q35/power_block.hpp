// The fixed power management registers of ICH9 (§13.8.3): firmware tells the time by their counter and switches the
// machine off by them, and so does a kernel that firmware has started. To another the machine's ACPI is
// hardware-reduced.
#pragma once

#include <atomic>
#include <nacre/loop.hpp>

#include "machines/common/acpi.hpp"
#include "machines/common/claimed_ports.hpp"

namespace nacre::q35 {

class PowerBlock {
 public:
  static constexpr uint16_t kBase = 0x600;
  static constexpr uint32_t kLine = 9;
  // What the ACPI tables say of them.
  static constexpr machine::AcpiFixed kFixed{kBase, kBase + 4, kBase + 8, kLine};

  // [main] Takes the ports. Fails when another device has them.
  sdk::Status claim(nacre_instance* machine, nacre_error* slot) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    machine_ = machine;
    return ports_.claim(machine, kBase, kPorts, &kOps, this, "the power management ports are not free", slot);
  }

  // The timer's 24 bits at a time of the monotonic clock, in nanoseconds: 3.579545 MHz (ACPI 6.4 §4.8.3.3).
  static uint32_t timer_at(uint64_t ns) {
    constexpr uint64_t kHertz = 3'579'545, kSecond = 1'000'000'000;
    return static_cast<uint32_t>(ns / kSecond * kHertz + ns % kSecond * kHertz / kSecond) & 0xffffff;
  }

 private:
  enum : uint64_t { kEnable = 2, kControl = 4, kTimer = 8, kSmi = 0x30, kPorts = 0x34 };
  // SLP_EN with sleep type 5, which is soft-off by the DSDT, or 0, which is that in QEMU's firmware.
  static constexpr uint64_t kSleepType = 7 << 10, kSleep = 1 << 13, kS5 = 5 << 10;

  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    switch (offset) {
      case kEnable:
        return static_cast<PowerBlock*>(self)->enable_;
      case kControl:
        return 1;  // SCI_EN: the events are ACPI's
      case kTimer:
        return timer_at(sdk::now());
      case kSmi:
        return 1 << 5;  // APMC_EN: there is no system management mode to set up
      default:
        return 0;
    }
  }

  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    auto& block = *static_cast<PowerBlock*>(self);
    if (offset == kEnable) block.enable_ = static_cast<uint16_t>(value);
    const uint64_t type = value & kSleepType;
    if (offset == kControl && (value & kSleep) && (type == 0 || type == kS5))
      sdk::host.lifecycle->request(block.machine_, NACRE_REQUEST_SHUTDOWN);
  }

  nacre_instance* machine_ = nullptr;
  std::atomic<uint16_t> enable_{0};
  machine::ClaimedPorts ports_;
};

}  // namespace nacre::q35
