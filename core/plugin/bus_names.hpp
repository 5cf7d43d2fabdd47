// Names of drivers that say which bus the device shall be on: virtio-blk-pci is virtio-blk-device on PCI.
#pragma once

#include <string>
#include <vector>

#include "core/plugin/registry.hpp"

namespace nacre {

struct BusName {
  std::string driver;  // what a plugin offers
  bool pci = false;    // the name asks for PCI
};

// A name X-pci that no plugin offers stands for the virtio driver X-device or X, where one is on offer; every other
// name for itself.
BusName resolve_bus_name(Registry& registry, const std::string& name);

// The names on PCI that stand for this driver.
std::vector<std::string> pci_names(const std::string& bus, const std::string& name,
                                   const std::vector<std::string>& aliases);

}  // namespace nacre
