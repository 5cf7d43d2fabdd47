// Slots whose device can change under the guest's driver: the guest finds all of them at boot, and those that nobody
// uses hold a device of the right kind without a back end.
#pragma once

#include <map>
#include <memory>

#include "core/vm/instance.hpp"

namespace nacre {

class VirtualMachine;

// Main thread only.
class ReplaceableSlots {
 public:
  explicit ReplaceableSlots(VirtualMachine& vm) : vm_(vm) {}
  ~ReplaceableSlots() { close(); }
  ReplaceableSlots(const ReplaceableSlots&) = delete;
  ReplaceableSlots& operator=(const ReplaceableSlots&) = delete;

  // Makes the slot at guest-physical address `base`, with interrupt line `gsi`, for devices of `driver`, and shows the
  // guest one without a back end there.
  Status add(uint64_t base, uint32_t gsi, const std::string& driver);
  bool has(uint64_t base) const { return slots_.contains(base); }
  // Puts a realized device into a vacant slot. A failure leaves the slot vacant.
  Status fill(uint64_t base, nacre_instance& device);
  // The device gives its slot up: one of its driver, with its properties but without its back end, takes over.
  void vacate(nacre_instance& device);
  // How many of the vacant devices that holds of.
  size_t count_vacant(const std::function<bool(const nacre_instance&)>& holds) const;
  // Takes the vacant devices away; from now on a slot that is given up stays empty.
  void close();

 private:
  struct Slot {
    uint32_t gsi = 0;
    std::unique_ptr<nacre_instance> vacant;  // NULL while a device is in the slot
  };

  VirtualMachine& vm_;
  std::map<uint64_t, Slot> slots_;  // by base
  bool closed_ = false;
};

}  // namespace nacre
