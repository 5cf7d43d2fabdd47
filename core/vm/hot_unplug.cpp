// How devices go while the guest runs: at once, or on PCI and vCPUs when the guest has let go.
#include <algorithm>
#include <boost/json.hpp>

#include "core/bus/pci/root_port.hpp"
#include "core/vm/devices.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {
namespace {

constexpr const char* kPath = "/machine/peripheral/";
constexpr std::chrono::milliseconds kDiskPatience{200};  // with a disk: what is quick is gone with the command's answer

const pci::PciBus* bus_of(nacre_instance& device) {
  const pci::PciFunction* function = device.pci_function();
  return function ? function->bus() : nullptr;
}

pci::RootPort* port_of(const pci::PciBus& bus) {
  return dynamic_cast<pci::RootPort*>(bus.bridge());
}

}  // namespace

// Out of the list first: what undoing it waits for may take others away.
void Devices::take_out(nacre_instance& device) {
  auto found = std::find_if(devices_.begin(), devices_.end(), [&](auto& each) { return each.get() == &device; });
  std::unique_ptr<nacre_instance> leaving = std::move(*found);
  devices_.erase(found);
  undo(*leaving, true);
}

Status Devices::remove(const std::string& id, bool force) {
  nacre_instance* device = find(id);
  if (!device) return Error{fmt::format("Device {} not found", id), ErrorClass::DeviceNotFound};
  if (!(device->type->flags & NACRE_TYPE_HOTPLUGGABLE))
    return fail("{} cannot be removed while the guest runs: its driver is not hot-pluggable.", device->name());
  if (device->leaving) return fail("Device {} is already in the process of unplug", id);
  if (device->pci_function()) return ask_for(*device, force);
  if (device->placement.kind == NACRE_PLACE_CPU) {
    if (force)
      return fail(
          "{} cannot be taken from the guest by force: it may be at work. device_del without \"force\" asks for it, "
          "and "
          "system_reset takes away one that was asked for.",
          device->name());
    if (vm_.machine().cpu_leaving(*device))
      return fail(
          "{}: its removal is pending: the guest has been asked to give it up and has not answered yet; system_reset "
          "takes it away for certain.",
          device->name());
    vm_.machine().ask_for_cpu(*device);
    tell_of_resize();
    return {};
  }
  device->leaving = true;
  remove_settled(id, kDiskPatience);
  return {};
}

// With requests under way that the host does not answer, it waits for them without the main loop.
void Devices::remove_settled(const std::string& id, std::chrono::milliseconds patience) {
  nacre_instance* device = find(id);
  if (!device || !device->leaving) return;
  auto again = [this, id] { vm_.loop().post_alone([this, id] { remove_settled(id, std::chrono::milliseconds(0)); }); };
  if (!services::hold(*device, patience, again, nullptr)) return;
  // Where a slot outlives its device, the device is all that a user has of the back end: both go together.
  std::string kind, back_end;
  if (auto behind = device->properties.back_end(); behind.id && vm_.replaceable_slots().has(device->placement.base)) {
    kind = behind.kind;
    back_end = behind.id;
  }
  take_out(*device);
  if (kind == "block") (void)vm_.disks().remove(back_end);
  if (kind == "net") (void)vm_.netdevs().remove(back_end);
  tell_of_removal(id, id);
}

Status Devices::ask_for(nacre_instance& device, bool force) {
  const pci::PciBus& bus = *bus_of(device);
  pci::RootPort* port = port_of(bus);
  if (!port) return fail("No hot plug controller found for bus {} when unplug request", bus.id());
  pci::PciHost& host = vm_.platform().pci()->host();
  if (force) {
    host.change([&] { port->surprise(); });
  } else {
    auto asked = host.change([&] { return port->request_unplug(); });
    if (!asked) return fail("{}: {}", device.name(), asked.error().message);
    if (*asked == pci::RootPort::Asked::Asked) return {};
  }
  // After the command's answer, as for one that the guest lets go.
  vm_.loop().post_alone([this, name = bus.id()] { switched_off(name); });
  return {};
}

void Devices::switched_off(const std::string& bus) {
  pci::RootPort* port = nullptr;
  for (;;) {
    auto below = std::find_if(devices_.begin(), devices_.end(), [&](auto& device) {
      const pci::PciBus* own = bus_of(*device);
      return own && own->id() == bus;
    });
    if (below == devices_.end()) break;
    auto again = [this, bus] { vm_.loop().post_alone([this, bus] { switched_off(bus); }); };
    if (!services::hold(**below, kDiskPatience, again, nullptr)) return;
    port = port_of(*bus_of(**below));
    const std::string id = (*below)->id;
    take_out(**below);
    tell_of_removal(id, kPath + id);
  }
  // Of what was taken away by force; otherwise there are none.
  if (port) vm_.platform().pci()->host().change([&] { port->leave_remains(); });
}

void Devices::ejected(uint32_t vcpu) {
  auto found = std::find_if(devices_.begin(), devices_.end(), [&](auto& device) {
    return device->placement.kind == NACRE_PLACE_CPU && device->placement.slot == vcpu;
  });
  if (found == devices_.end()) return;
  const std::string id = (*found)->id;
  take_out(**found);
  tell_of_removal(id, kPath + id);
}

// After the command's answer, in StratoVirt's order.
void Devices::tell_of_resize() {
  vm_.loop().post([this] {
    if (vm_.monitor()) (void)vm_.monitor()->emit("CPU_RESIZE", "{}");
  });
}

void Devices::tell_of_removal(const std::string& id, const std::string& path) {
  namespace json = boost::json;
  if (vm_.monitor())
    (void)vm_.monitor()->emit("DEVICE_DELETED", json::serialize(json::object{{"device", id}, {"path", path}}));
}

}  // namespace nacre
