// The vCPUs that come and go: which there are, the registers by which the guest learns of them and lets go of them, and
// the interrupt of the generic event device.
#pragma once

#include <nacre/machine.hpp>
#include <nacre/mutex.hpp>
#include <string>
#include <vector>

namespace nacre::q35 {

// Main thread, as the machine that has it; the registers' callbacks come on vCPUs.
//
// Event register, 32 bits: a read returns the events and clears them: 16, a vCPU has come or shall go. Then three
// bytes. Selection: a read returns the vCPU that changed last; a write selects one. Status of the selected one: bit 0
// it is there, 1 it has come, 2 it shall go; a write of 2 or 4 clears that bit, of 8 gives the vCPU up. Result: a write
// is the _OST code of what came of a request to give the selected one up.
class CpuController {
 public:
  static constexpr uint32_t kEvents = 0xf0000000;
  static constexpr uint32_t kController = kEvents + 4;
  static constexpr uint32_t kLine = 6;

  CpuController(nacre_instance* machine, uint32_t vcpus, uint32_t max_vcpus);
  ~CpuController();
  CpuController(const CpuController&) = delete;
  CpuController& operator=(const CpuController&) = delete;

  // [in build] Takes the registers and the line. Fails when another device has them.
  sdk::Status claim(nacre_error* slot);
  // Chooses the vCPU that a device is, or refuses in StratoVirt's words.
  sdk::Status place(const nacre_device_desc& device, nacre_placement& placement);
  // The vCPU is none of the guest's any more.
  void displace(uint32_t index);
  // As nacre_machine_ops has it.
  void changed(uint32_t index, bool plugged);
  bool leaving(uint32_t index);
  // [in boot] A guest begins anew: returns which vCPUs there are. It has nothing to be told, and those that the last
  // guest was to give up are gone.
  std::vector<bool> begin_boot();

 private:
  struct Cpu {
    uint8_t status = 0;
    bool leaving = false;  // asked for, and not refused
    std::string device;    // its id; empty: a vCPU of the machine's own, or none
  };

  static uint64_t on_read(void* self, uint64_t offset, uint32_t width) noexcept;
  static void on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept;
  uint64_t read(uint64_t offset, uint32_t width);
  void write(uint64_t offset, uint8_t value);
  void write_status(Cpu& cpu, uint8_t value) NACRE_REQUIRES(mutex_);

  nacre_instance* machine_;
  const uint32_t vcpus_;
  nacre_mmio_region* region_ = nullptr;
  nacre_irq* irq_ = nullptr;

  sdk::Mutex mutex_;
  std::vector<Cpu> cpus_ NACRE_GUARDED_BY(mutex_);
  uint32_t events_ NACRE_GUARDED_BY(mutex_) = 0;
  uint8_t selected_ NACRE_GUARDED_BY(mutex_) = 0;
  uint8_t last_ NACRE_GUARDED_BY(mutex_) = 0;
  bool booted_ NACRE_GUARDED_BY(mutex_) = false;
};

}  // namespace nacre::q35
