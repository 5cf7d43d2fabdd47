// I/O ports that a machine answers for itself.
#pragma once

#include <nacre/boundary.hpp>
#include <utility>

namespace nacre::machine {

// Gives them back when it ends. Main thread only.
class ClaimedPorts {
 public:
  ClaimedPorts() = default;
  ~ClaimedPorts() {
    if (region_) sdk::host.mmio->release(std::exchange(region_, nullptr));
  }
  ClaimedPorts(const ClaimedPorts&) = delete;
  ClaimedPorts& operator=(const ClaimedPorts&) = delete;

  // Takes `length` ports from `base` up, once; `ops` and `opaque` outlive this. Fails, with `otherwise` where the host
  // has no words, when another device has one of them.
  sdk::Status claim(nacre_instance* machine, uint16_t base, uint16_t length, const nacre_mmio_ops* ops, void* opaque,
                    const char* otherwise, nacre_error* slot) {
    return sdk::ErrorSlot::wrap(slot, otherwise, [&](nacre_error* error) {
      return sdk::host.mmio->claim(machine, NACRE_SPACE_PIO, base, length, 0, ops, opaque, &region_, error);
    });
  }

 private:
  nacre_mmio_region* region_ = nullptr;
};

}  // namespace nacre::machine
