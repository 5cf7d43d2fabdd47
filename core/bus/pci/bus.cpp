#include "core/bus/pci/bus.hpp"

namespace nacre::pci {
namespace {

// Where a pin of a device at `slot` ends (bridge 1.2 §9.1): every bridge above turns it on by its slot.
uint32_t line_of(const PciFunction& function, uint32_t pin) {
  uint32_t line = pin;
  for (const PciFunction* at = &function; at; at = at->bus()->bridge()) line = (line + (at->devfn() >> 3)) % 4;
  return line;
}

}  // namespace

void PciBus::put(PciFunction& function, uint8_t devfn, SharedLines& lines) {
  functions_[devfn] = &function;
  function.bus_ = this;
  function.devfn_ = devfn;
  if (const uint8_t pin = function.config().get8(kInterruptPin)) function.wire(&lines, line_of(function, pin - 1u));
}

void PciBus::take(PciFunction& function) {
  function.wire(nullptr, 0);
  functions_[function.devfn_] = nullptr;
  function.bus_ = nullptr;
}

PciBus* PciBus::find(uint8_t number) {
  if (number == this->number()) return this;
  for (PciFunction* function : functions_) {
    PciBus* below = function ? function->secondary() : nullptr;
    if (!below || below->number() == 0) continue;
    if (number >= below->number() && number <= function->config().get8(kSubordinateBus)) return below->find(number);
  }
  return nullptr;
}

PciBus* PciBus::find(const std::string& id) {
  if (id == id_) return this;
  for (PciFunction* function : functions_)
    if (PciBus* below = function ? function->secondary() : nullptr)
      if (PciBus* found = below->find(id)) return found;
  return nullptr;
}

void PciBus::reset() {
  for (PciFunction* function : functions_) {
    if (!function) continue;
    function->reset();
    if (PciBus* below = function->secondary()) below->reset();
  }
}

}  // namespace nacre::pci
