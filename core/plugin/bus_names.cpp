#include "core/plugin/bus_names.hpp"

#include <algorithm>

namespace nacre {
namespace {

constexpr std::string_view kPci = "-pci";
constexpr std::string_view kOtherBuses[] = {"-device", "-mmio"};

std::string on_pci(std::string_view name) {
  for (std::string_view other : kOtherBuses)
    if (name.ends_with(other)) name.remove_suffix(other.size());
  return std::string(name) + std::string(kPci);
}

}  // namespace

std::vector<std::string> pci_names(const std::string& bus, const std::string& name,
                                   const std::vector<std::string>& aliases) {
  if (bus != "virtio") return {};
  std::vector<std::string> names{on_pci(name)};
  for (const std::string& alias : aliases) names.push_back(on_pci(alias));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

BusName resolve_bus_name(Registry& registry, const std::string& name) {
  if (!std::string_view(name).ends_with(kPci)) return {name, false};
  for (bool again : {false, true}) {
    if (again) registry.look_for_new_files();
    if (registry.offers(NACRE_KIND_DEVICE, name)) return {name, false};
    for (const DriverInfo& driver : registry.drivers(NACRE_KIND_DEVICE))
      for (const std::string& other : pci_names(driver.bus, driver.name, driver.aliases))
        if (other == name) return {driver.name, true};
  }
  return {name, false};
}

}  // namespace nacre
