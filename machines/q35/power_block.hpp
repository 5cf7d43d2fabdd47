// The fixed power management registers of ICH9 (§13.8.3): nothing of the machine hangs on them, since its ACPI is
// hardware-reduced, but firmware tells the time by their counter.
#pragma once

#include <atomic>
#include <ctime>

#include "machines/common/claimed_ports.hpp"

namespace nacre::q35 {

class PowerBlock {
 public:
  static constexpr uint16_t kBase = 0x600;

  // [main] Takes the ports. Fails when another device has them.
  sdk::Status claim(nacre_instance* machine, nacre_error* slot) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    return ports_.claim(machine, kBase, kPorts, &kOps, this, "the power management ports are not free", slot);
  }

  // The timer's 24 bits at a time of the monotonic clock, in nanoseconds: 3.579545 MHz (ACPI 6.4 §4.8.3.3).
  static uint32_t timer_at(uint64_t ns) {
    constexpr uint64_t kHertz = 3'579'545, kSecond = 1'000'000'000;
    return static_cast<uint32_t>(ns / kSecond * kHertz + ns % kSecond * kHertz / kSecond) & 0xffffff;
  }

 private:
  enum : uint64_t { kEnable = 2, kControl = 4, kTimer = 8, kPorts = 16 };

  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    switch (offset) {
      case kEnable:
        return static_cast<PowerBlock*>(self)->enable_;
      case kControl:
        return 1;  // SCI_EN: the events are ACPI's
      case kTimer: {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return timer_at(static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec));
      }
      default:
        return 0;
    }
  }

  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    if (offset == kEnable) static_cast<PowerBlock*>(self)->enable_ = static_cast<uint16_t>(value);
  }

  std::atomic<uint16_t> enable_{0};
  machine::ClaimedPorts ports_;
};

}  // namespace nacre::q35
