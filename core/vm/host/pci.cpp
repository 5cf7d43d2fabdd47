// nacre.pci/1: what stands on a PCI bus other than virtio devices.
#include "core/bus/pci/root_port.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

nacre_status root_port(nacre_instance* instance, const nacre_pci_port* wanted, nacre_error* slot) noexcept {
  PciTree* tree = instance->vm.platform().pci();
  if (!tree) return finish(fail("the machine has no PCI host."), slot, NACRE_UNSUPPORTED);
  if (instance->own_function)
    return finish(fail("it is a PCI function already; this is a defect of the plugin."), slot);
  if (tree->host().root().find(instance->id)) return finish(fail("there is a bus '{}' already.", instance->id), slot);
  pci::RootPort::Options options;
  options.vendor = wanted->vendor_id;
  options.device = wanted->device_id;
  options.revision = wanted->revision;
  options.port = wanted->port;
  options.fast_unplug = wanted->fast_unplug != 0;
  auto port = pci::RootPort::create(instance->id, instance->name(), options, tree->host());
  if (!port) return finish(port.error(), slot);
  (*port)->on_power_off(
      [&vm = instance->vm, id = instance->id] { vm.loop().post([&vm, id] { vm.devices().switched_off(id); }); });
  instance->own_function = std::move(*port);
  return NACRE_OK;
}

}  // namespace

const nacre_pci_v1 kPci{sizeof(nacre_pci_v1), 0, root_port};

}  // namespace nacre::services
