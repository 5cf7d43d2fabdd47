#include "core/vm/machine.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/base/error_slot.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/plugin/registry.hpp"
#include "core/plugin/values.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {
namespace {

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::create(VirtualMachine& vm, Registry& registry,
                                                 const MachineOptions& options) {
  Result<LoadedType> loaded = registry.load(NACRE_KIND_MACHINE, options.type);
  if (!loaded) return loaded.error();
  Result<PropertyValues> values = PropertyValues::parse(*loaded->type, options.properties);
  if (!values) return values.error();

  auto machine = std::unique_ptr<Machine>(new Machine(vm, options));
  const MachineOptions& kept = machine->options_;
  machine->config_ = {.size = sizeof(nacre_machine_config),
                      .vcpus = kept.vcpus,
                      .max_vcpus = kept.max_vcpus,
                      .ram_size = kept.ram_size,
                      .kernel = or_null(kept.kernel),
                      .initrd = or_null(kept.initrd),
                      .append = kept.append.c_str(),
                      .serial_chardev = or_null(kept.serial_chardev),
                      .ram = &machine->ram_,
                      .sockets = kept.sockets};
  if (kept.no_vcpus) machine->config_.flags |= NACRE_MACHINE_NO_VCPUS;
  machine->ram_ = kept.numa.describe();
  for (size_t unit = 0; unit < kept.flash.size(); ++unit) {
    machine->config_.flash_fd[unit] = -1;
    for (const auto& [id, disk] : vm.disks().all()) {
      if (kept.flash[unit].empty() || id != kept.flash[unit]) continue;
      machine->config_.flash_drive[unit] = kept.flash[unit].c_str();
      machine->config_.flash_length[unit] = disk.backend->capacity();
      machine->config_.flash_fd[unit] = disk.backend->fd();
    }
  }
  for (const SmbiosField& field : kept.smbios)
    machine->smbios_.push_back({field.type, 0, field.name.c_str(), field.value.c_str()});
  machine->config_.smbios = machine->smbios_.data();
  machine->config_.n_smbios = static_cast<uint32_t>(machine->smbios_.size());
  const auto* ops = static_cast<const nacre_machine_ops*>(loaded->type->ops);
  std::memcpy(&machine->ops_, ops, std::min<size_t>(ops->size, sizeof machine->ops_));

  auto instance = std::make_unique<nacre_instance>(
      nacre_instance{vm, loaded->type, loaded->type->name, loaded->plugin_id, std::move(*values)});
  instance->loop = &vm.loop();
  ErrorSlot slot;
  nacre_status code;
  {
    Breadcrumb crumb(instance->plugin_id, instance->id, "create");
    code = machine->ops_.create(instance.get(), &machine->config_, &instance->self, slot.handle());
  }
  if (code != NACRE_OK)
    return fail("machine '{}': {}", options.type, slot.text("its plugin refused it without a reason."));
  machine->instance_ = std::move(instance);
  return machine;
}

Machine::~Machine() {
  if (!instance_) return;
  services::end_posts(*instance_);
  Breadcrumb crumb(instance_->plugin_id, instance_->id, "destroy");
  ops_.destroy(instance_->self);
}

Status Machine::step(const char* name, Step function) {
  ErrorSlot slot;
  Breadcrumb crumb(instance_->plugin_id, instance_->id, name);
  if (function(instance_->self, slot.handle()) == NACRE_OK) return {};
  return fail("{}", slot.text("the machine's plugin failed without a reason; this is a defect of the plugin."));
}

Status Machine::layout() {
  return step("layout", ops_.layout);
}
Status Machine::build() {
  return step("build", ops_.build);
}
Status Machine::boot() {
  return step("boot", ops_.boot);
}

Status Machine::place(nacre_instance& device, bool hot) {
  auto word = [&](const char* name) {
    auto found = device.place_words.find(name);
    return found == device.place_words.end() ? nullptr : or_null(found->second);
  };
  nacre_device_desc desc{};
  desc.size = sizeof desc;
  desc.virtio_device_id = device.virtio ? device.virtio->device->device_id() : 0;
  desc.driver = device.driver.empty() ? device.type->name : device.driver.c_str();
  desc.id = device.id.c_str();
  desc.bus = device.on_pci ? "pci" : device.type->bus;
  desc.backend = device.properties.back_end().id;
  desc.bus_id = word("bus");
  desc.addr = word("addr");
  desc.lun = word("lun");
  desc.hot = hot;
  desc.port = device.pci_function() && device.pci_function()->is_port();
  uint64_t cpu_id = 0;
  desc.cpu_id = device.properties.get_u64("cpu-id", cpu_id) == NACRE_OK ? static_cast<int64_t>(cpu_id) : -1;
  device.placement = {};
  device.placement.size = sizeof device.placement;
  ErrorSlot slot;
  nacre_status code;
  {
    Breadcrumb crumb(instance_->plugin_id, instance_->id, "place");
    code = ops_.place(instance_->self, &desc, &device.placement, slot.handle());
  }
  if (code != NACRE_OK) {
    const std::string reason = slot.text("the machine has no place for it and gave no reason.");
    // What it says of a vCPU is complete, and compared to the letter.
    const bool cpu = desc.bus && std::string_view(desc.bus) == "cpu";
    return cpu ? fail("{}", reason) : fail("{}: {}", device.name(), reason);
  }
  if (device.placement.kind != NACRE_PLACE_NONE) {
    const uint32_t kind = device.placement.kind;
    Status plugged = kind == NACRE_PLACE_PCI   ? plug_into_pci(device, hot)
                     : kind == NACRE_PLACE_CPU ? plug_cpu(device)
                                               : plug(device);
    if (!plugged) {
      ops_.displace(instance_->self, &device.placement);
      return fail("{}: {}", device.name(), plugged.error().message);
    }
  }
  device.placed = true;
  return {};
}

Status Machine::plug_into_pci(nacre_instance& device, bool hot) {
  PciTree* tree = vm_.platform().pci();
  if (!tree) return fail("the machine has no PCI bus.");
  const auto& words = device.place_words;
  auto word = [&](const char* name) {
    auto found = words.find(name);
    return found == words.end() ? std::string() : found->second;
  };
  const std::string given = word("multifunction");
  const std::optional<bool> multifunction = given.empty() ? false : parse_switch(given);
  if (!multifunction) return fail("property 'multifunction' is on or off, not '{}'.", given);
  pci::PciFunction* own = device.pci_function();
  const bool port = own && own->is_port();
  Result<PciTree::Place> place = tree->find_place({word("bus"), word("addr"), hot, *multifunction, port});
  if (!place) return place.error();
  if (own) {
    own->set_multifunction(*multifunction);
    tree->host().plug(*place->bus, place->devfn, *own, hot);
    return {};
  }
  auto transport = virtio::PciTransport::create(tree->host(), vm_.platform().memory(), *device.virtio->device);
  if (!transport) return transport.error();
  device.pci = std::move(*transport);
  device.pci->function().set_multifunction(*multifunction);
  device.pci->plug(*place->bus, place->devfn, hot);
  return {};
}

Status Machine::plug_cpu(nacre_instance& device) {
  const uint32_t index = device.placement.slot;
  if (Status plugged = vm_.platform().plug_vcpu(index); !plugged) return plugged;
  // Before the guest knows of it: what it sends to the new vCPU shall find one that runs.
  if (vm_.life_cycle().running()) vm_.platform().resume_vcpu(index);
  tell_of_cpu(index, true);
  return {};
}

void Machine::ask_for_cpu(nacre_instance& device) {
  tell_of_cpu(device.placement.slot, false);
}

bool Machine::cpu_leaving(const nacre_instance& device) const {
  if (!ops_.cpu_leaving) return false;
  Breadcrumb crumb(instance_->plugin_id, instance_->id, "cpu_leaving");
  return ops_.cpu_leaving(instance_->self, device.placement.slot) != 0;
}

void Machine::tell_of_cpu(uint32_t index, bool plugged) {
  Breadcrumb crumb(instance_->plugin_id, instance_->id, "cpu_changed");
  ops_.cpu_changed(instance_->self, index, plugged);
}

Status Machine::plug(nacre_instance& device) {
  const nacre_placement& placement = device.placement;
  if (vm_.replaceable_slots().has(placement.base)) return vm_.replaceable_slots().fill(placement.base, device);
  virtio::MmioTransport* transport = vm_.platform().virtio_slot(placement.base);
  if (!transport) return fail("the machine has no virtio-mmio slot at {:#x}.", placement.base);
  if (Status taken = vm_.platform().take_line(placement.gsi); !taken) return taken;
  Status plugged = transport->plug(*device.virtio->device, placement.gsi);
  if (!plugged) vm_.platform().give_line_back(placement.gsi);
  return plugged;
}

void Machine::displace(nacre_instance& device) {
  if (device.pci) {
    device.pci.reset();
  } else if (pci::PciFunction* own = device.pci_function()) {
    vm_.platform().pci()->host().unplug(*own);
  } else if (vm_.replaceable_slots().has(device.placement.base)) {
    vm_.replaceable_slots().vacate(device);
  } else if (device.placement.kind == NACRE_PLACE_CPU) {
    vm_.platform().unplug_vcpu(device.placement.slot);
  } else if (device.placement.kind == NACRE_PLACE_VIRTIO_MMIO) {
    if (virtio::MmioTransport* transport = vm_.platform().virtio_slot(device.placement.base)) transport->unplug();
    vm_.platform().give_line_back(device.placement.gsi);
  }
  Breadcrumb crumb(instance_->plugin_id, instance_->id, "displace");
  ops_.displace(instance_->self, &device.placement);
  device.placed = false;
}

}  // namespace nacre
