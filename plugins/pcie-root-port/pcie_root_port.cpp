// pcie-root-port: a slot on the root bus whose device may come and go while the guest runs.
#include <nacre/plugin.hpp>

namespace nacre::pcie_root_port {
namespace {

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64, .flags = NACRE_PROP_REQUIRED, .name = "port", .help = "number of the port", .max = 0xff},
    {.type = NACRE_PROP_U64, .name = "chassis", .help = "number of the chassis; without effect", .max = 0xff},
    {.type = NACRE_PROP_BOOL,
     .name = "fast-unplug",
     .help = "the guest is not given five seconds to think again before a removal"},
};

// What guests know as the generic PCI Express root port.
constexpr uint16_t kVendor = 0x1b36, kDevice = 0x000c;

class RootPort : public sdk::Device {
 public:
  using Device::Device;

  sdk::Status realize(nacre_error* slot) override {
    nacre_pci_port port{};
    port.size = sizeof port;
    port.vendor_id = kVendor;
    port.device_id = kDevice;
    port.port = static_cast<uint8_t>(*u64("port"));
    port.fast_unplug = flag("fast-unplug");
    return sdk::ErrorSlot::wrap(slot, "the host has no root port",
                                [&](nacre_error* error) { return sdk::host.pci->root_port(instance(), &port, error); });
  }
  void unrealize() override {}
};

constexpr nacre_type kType =
    sdk::device_type<RootPort>("pcie-root-port", "pci", "PCI Express slot for hot-plug", kProps);

}  // namespace
}  // namespace nacre::pcie_root_port

NACRE_PLUGIN(&nacre::pcie_root_port::kType);
