// One PCI bus: 32 devices of 8 functions, below the host or below a bridge.
#pragma once

#include <array>
#include <string>

#include "core/bus/pci/function.hpp"

namespace nacre::pci {

// Changed on the main thread under the host's lock.
class PciBus {
 public:
  // `bridge` is the function that it hangs below; NULL: the host.
  PciBus(std::string id, PciFunction* bridge) : id_(std::move(id)), bridge_(bridge) {}
  PciBus(const PciBus&) = delete;
  PciBus& operator=(const PciBus&) = delete;

  const std::string& id() const { return id_; }
  PciFunction* bridge() const { return bridge_; }
  // The guest's number for it: 0 for the host's own, else as the bridge was told.
  uint8_t number() const { return bridge_ ? bridge_->config().get8(kSecondaryBus) : 0; }
  PciFunction* at(uint8_t devfn) const { return functions_[devfn]; }
  const std::array<PciFunction*, 256>& functions() const { return functions_; }

  // The functions stay the callers'. The place is free.
  void put(PciFunction& function, uint8_t devfn, SharedLines& lines);
  void take(PciFunction& function);

  // The bus of this number here or below, as configuration accesses find it (bridge 1.2 §3.1.2.1.1), or NULL.
  PciBus* find(uint8_t number);
  // The bus of this name here or below, or NULL.
  PciBus* find(const std::string& id);
  // Resets all functions here and below.
  void reset();

 private:
  const std::string id_;
  PciFunction* const bridge_;
  std::array<PciFunction*, 256> functions_{};
};

}  // namespace nacre::pci
