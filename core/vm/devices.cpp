#include "core/vm/devices.hpp"

#include <algorithm>

#include "core/base/error_slot.hpp"
#include "core/base/log.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {
namespace {

const nacre_device_ops& ops_of(const nacre_instance& instance) {
  return *static_cast<const nacre_device_ops*>(instance.type->ops);
}

// The words for a call of the plugin that failed.
Error failure(const nacre_instance& instance, const char* function, nacre_status code, const ErrorSlot& slot) {
  if (code == NACRE_PLUGIN_EXCEPTION)
    return fail("{}", exception_text(instance.plugin_id, function, slot.text(""), instance.id));
  return fail("{}: {}", instance.name(), slot.text("it cannot be made, and its plugin gave no reason."));
}

// Takes `plugin=ID` out, which the host gives every device: the choice among several plugins that offer its driver.
std::string take_plugin(Devices::Properties& properties) {
  std::string chosen;
  std::erase_if(properties, [&](auto& property) {
    if (property.first == "plugin") chosen = property.second;
    return property.first == "plugin";
  });
  return chosen;
}

}  // namespace

Devices::~Devices() {
  clear();
}

void Devices::clear() {
  while (!devices_.empty()) {
    undo(*devices_.back(), true);
    devices_.pop_back();
  }
}

nacre_instance* Devices::find(const std::string& id) {
  auto found = std::find_if(devices_.begin(), devices_.end(), [&](auto& device) { return device->id == id; });
  return found == devices_.end() ? nullptr : found->get();
}

Result<nacre_instance*> Devices::add(const std::string& driver, const std::string& id, const Properties& properties) {
  if (!id.empty() && find(id)) return fail("Device id {} existed: each device needs an id of its own.", id);
  Properties own = properties;
  Result<LoadedType> loaded = registry_.load(NACRE_KIND_DEVICE, driver, take_plugin(own));
  if (!loaded) return loaded.error();
  Result<PropertyValues> values = PropertyValues::parse(*loaded->type, own);
  if (!values) return values.error();

  auto instance =
      std::make_unique<nacre_instance>(nacre_instance{vm_, loaded->type, id, loaded->plugin_id, std::move(*values)});
  if (id.empty()) instance->id = driver + "." + std::to_string(unnamed_++);
  instance->loop = &vm_.loop();
  if (const char* iothread = instance->properties.text("iothread")) {
    auto found = vm_.iothreads().find(iothread);
    if (found == vm_.iothreads().end())
      return fail("{}: there is no iothread '{}'; make it with -object iothread,id={}.", instance->name(), iothread,
                  iothread);
    instance->loop = &found->second->loop();
  }
  // In the list while it is being realized, so that its id is taken and other rooms find it.
  devices_.push_back(std::move(instance));
  nacre_instance& device = *devices_.back();
  if (Status realized = realize(device); !realized) {
    devices_.pop_back();
    return realized.error();
  }
  return &device;
}

Result<nacre_instance*> Devices::hot_add(const std::string& driver, const std::string& id,
                                         const Properties& properties) {
  Properties own = properties;
  Result<LoadedType> loaded = registry_.load(NACRE_KIND_DEVICE, driver, take_plugin(own));
  if (!loaded) return loaded.error();
  if (!(loaded->type->flags & NACRE_TYPE_HOTPLUGGABLE))
    return fail("driver '{}' cannot be added while the guest runs; name it on the command line with -device {}.",
                driver, driver);
  return add(driver, id, properties);
}

size_t Devices::count_of_plugin(const std::string& plugin_id) const {
  return static_cast<size_t>(
      std::count_if(devices_.begin(), devices_.end(), [&](auto& device) { return device->plugin_id == plugin_id; }));
}

Status Devices::realize(nacre_instance& device) {
  const nacre_device_ops& ops = ops_of(device);
  ErrorSlot slot;
  nacre_status code;
  {
    Breadcrumb crumb(device.plugin_id, device.id, "create");
    code = ops.create(&device, &device.self, slot.handle());
  }
  if (code != NACRE_OK) {
    device.self = nullptr;
    return failure(device, "create", code, slot);
  }
  {
    Breadcrumb crumb(device.plugin_id, device.id, "realize");
    code = ops.realize(device.self, slot.handle());
  }
  if (code != NACRE_OK) {
    undo(device, false);
    return failure(device, "realize", code, slot);
  }
  if (Status placed = place(device); !placed) {
    undo(device, true);
    return placed;
  }
  return {};
}

Status Devices::place(nacre_instance& device) {
  // Devices of the machine's own place themselves by their properties.
  if (!device.virtio) return {};
  return vm_.machine().place(device);
}

void Devices::undo(nacre_instance& device, bool realized) {
  const nacre_device_ops& ops = ops_of(device);
  if (device.placed) vm_.machine().displace(device);
  if (realized) {
    Breadcrumb crumb(device.plugin_id, device.id, "unrealize");
    ops.unrealize(device.self);
  }
  if (device.self) {
    Breadcrumb crumb(device.plugin_id, device.id, "destroy");
    ops.destroy(device.self);
    device.self = nullptr;
  }
  services::take_back(device);
}

Status Devices::remove(const std::string& id) {
  auto found = std::find_if(devices_.begin(), devices_.end(), [&](auto& device) { return device->id == id; });
  if (found == devices_.end()) return Error{fmt::format("Device {} not found", id), ErrorClass::DeviceNotFound};
  if (!((*found)->type->flags & NACRE_TYPE_HOTPLUGGABLE))
    return fail("{} cannot be removed while the guest runs: its driver is not hot-pluggable.", (*found)->name());
  undo(**found, true);
  devices_.erase(found);
  return {};
}

void Devices::reset() {
  for (auto& device : devices_) {
    const nacre_device_ops& ops = ops_of(*device);
    if (device->virtio || !ops.reset) continue;
    device->loop->call([&] {
      Breadcrumb crumb(device->plugin_id, device->id, "reset");
      ops.reset(device->self);
    });
  }
}

bool Devices::press_power_button() {
  bool pressed = false;
  for (auto& device : devices_) {
    if (!device->powerdown) continue;
    device->powerdown();
    pressed = true;
  }
  return pressed;
}

}  // namespace nacre
