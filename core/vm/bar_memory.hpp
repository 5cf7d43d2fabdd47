// Memory of a plugin's behind a part of a BAR: the guest reaches it without an exit.
#pragma once

#include <nacre/abi/pci.h>

#include <memory>
#include <optional>
#include <vector>

#include "core/base/log_limit.hpp"
#include "core/base/result.hpp"
#include "core/kvm/vm.hpp"

namespace nacre {

// KVM's numbers for such memory, apart from those of the machine's RAM. Main thread only.
class BarSlots {
 public:
  explicit BarSlots(kvm::Vm& vm);

  kvm::Vm& vm() { return vm_; }
  // A free one, or nothing when the kernel has no more.
  std::optional<uint32_t> take();
  void give_back(uint32_t slot);

 private:
  kvm::Vm& vm_;
  const uint32_t end_;
  uint32_t next_;
  std::vector<uint32_t> free_;
};

// Main thread only.
class BarMemory {
 public:
  // Maps the file, of which a duplicate is not kept. `slots` outlives it. Fails in words for a file that is too short
  // or cannot be mapped, and when the kernel has no slot left.
  static Result<std::unique_ptr<BarMemory>> create(BarSlots& slots, const nacre_pci_memory& wanted);
  ~BarMemory();
  BarMemory(const BarMemory&) = delete;
  BarMemory& operator=(const BarMemory&) = delete;

  const nacre_pci_memory& what() const { return what_; }
  // The BAR is at `base` now, or nowhere.
  void follow(std::optional<uint64_t> base);

 private:
  BarMemory(BarSlots& slots, const nacre_pci_memory& what) : slots_(slots), what_(what) {}

  BarSlots& slots_;
  const nacre_pci_memory what_;
  std::optional<uint32_t> slot_;
  void* mapped_ = nullptr;
  bool shown_ = false;
  log::Limit hidden_;  // said as often as the guest moves the BAR
};

}  // namespace nacre
