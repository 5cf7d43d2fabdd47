// The firmware configuration device at the ports of a PC: 0x510 selects, 0x511 gives data, 0x514 takes the address of a
// command for a copy.
#pragma once

#include <nacre/mutex.hpp>

#include "machines/common/claimed_ports.hpp"
#include "machines/common/fw_cfg.hpp"

namespace nacre::machine {

// Long copies are the main loop's work, so that no vCPU is held.
class FwCfgPorts {
 public:
  static constexpr uint16_t kBase = 0x510;

  // [main] Takes the ports. Fails when another device has them.
  sdk::Status claim(nacre_instance* machine, nacre_error* slot) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    machine_ = machine;
    return ports_.claim(machine, kBase, kPorts, &kOps, this, "the ports of fw_cfg are not free", slot);
  }

  // [main, vCPUs not running] The items, to be filled anew for each boot.
  FwCfg& items() NACRE_NO_THREAD_SAFETY_ANALYSIS { return items_; }  // no vCPU is in it

 private:
  enum : uint64_t { kSelector = 0, kData = 1, kAddressHigh = 4, kAddressLow = 8, kPorts = 12 };
  static FwCfgPorts& of(void* self) { return *static_cast<FwCfgPorts*>(self); }

  static uint64_t on_read(void* self, uint64_t offset, uint32_t width) noexcept {
    constexpr char kSignature[] = "QEMU CFG";
    sdk::MutexLock lock(of(self).mutex_);
    if (offset == kData && width == 1) return of(self).items_.read_byte();
    if (offset < kAddressHigh) return 0;
    uint64_t value = 0;
    std::memcpy(&value, kSignature + (offset - kAddressHigh), width);
    return value;
  }

  static void on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    sdk::MutexLock lock(of(self).mutex_);
    if (offset == kSelector && width == 2) of(self).items_.select(static_cast<uint16_t>(value));
    if (width != 4) return;
    const uint32_t half = __builtin_bswap32(static_cast<uint32_t>(value));
    if (offset == kAddressHigh) of(self).high_ = half;
    if (offset == kAddressLow) of(self).start(uint64_t{std::exchange(of(self).high_, 0)} << 32 | half);
  }

  void start(uint64_t address) NACRE_REQUIRES(mutex_) {
    const nacre_memory_view* view = sdk::host.memory->acquire(machine_);
    if (items_.start_dma(sdk::MemoryView(view), address)) go_on();
    sdk::host.memory->release(machine_, view);
  }

  void go_on() { sdk::host.loop->post(sdk::host.loop->of(machine_), on_posted, this); }

  // [main]
  static void on_posted(void* self) noexcept {
    FwCfgPorts& ports = of(self);
    sdk::MutexLock lock(ports.mutex_);
    const nacre_memory_view* view = sdk::host.memory->acquire(ports.machine_);
    if (ports.items_.step(sdk::MemoryView(view))) ports.go_on();
    sdk::host.memory->release(ports.machine_, view);
  }

  nacre_instance* machine_ = nullptr;
  sdk::Mutex mutex_;
  FwCfg items_ NACRE_GUARDED_BY(mutex_);
  uint32_t high_ NACRE_GUARDED_BY(mutex_) = 0;
  ClaimedPorts ports_;
};

}  // namespace nacre::machine
