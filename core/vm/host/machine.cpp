// nacre.machine/1 and nacre.vcpu/1: what only machine types use.
#include <algorithm>
#include <vector>

#include "core/vm/host/services.hpp"
#include "core/vm/property_text.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

Platform& platform(nacre_instance* machine) {
  return machine->vm.platform();
}

nacre_status add_ram(nacre_instance* machine, uint64_t gpa, uint64_t length, nacre_error* slot) noexcept {
  return finish(platform(machine).add_ram(gpa, length), slot);
}

nacre_status x86_platform(nacre_instance* machine, const nacre_x86_platform* wanted, nacre_error* slot) noexcept {
  return finish(platform(machine).set_up_x86(*wanted), slot);
}

nacre_status virtio_mmio_window(nacre_instance* machine, uint64_t base, uint32_t stride, uint32_t slots,
                                nacre_error* slot) noexcept {
  return finish(platform(machine).add_virtio_window(base, stride, slots), slot);
}

nacre_status device(nacre_instance* machine, const char* driver, const char* id, const char* properties,
                    nacre_error* slot) noexcept {
  Result<nacre_instance*> made = machine->vm.devices().add(driver, id, split_properties(properties));
  return made ? NACRE_OK : finish(made.error(), slot);
}

nacre_status replaceable_slot(nacre_instance* machine, uint64_t base, uint32_t gsi, const char* driver,
                              nacre_error* slot) noexcept {
  if (!machine->vm.registry().offers(NACRE_KIND_DEVICE, driver))
    return finish(fail("no plugin offers the driver '{}'.", driver), slot, NACRE_NOT_FOUND);
  return finish(machine->vm.replaceable_slots().add(base, gsi, driver), slot);
}

nacre_status load_file(nacre_instance* machine, uint64_t gpa, int32_t fd, uint64_t offset, uint64_t length,
                       nacre_error* slot) noexcept {
  return finish(platform(machine).memory().load_file(gpa, fd, offset, length), slot, NACRE_IO);
}

nacre_status pci_host(nacre_instance* machine, const nacre_pci_host* wanted, nacre_error* slot) noexcept {
  return finish(platform(machine).add_pci(*wanted), slot);
}

nacre_status pci_place(nacre_instance* machine, nacre_pci* pci, uint8_t devfn, uint8_t multifunction,
                       nacre_error* slot) noexcept {
  auto& own = machine->functions;
  auto found = std::find_if(own.begin(), own.end(), [&](auto& function) { return function.get() == function_of(pci); });
  if (found == own.end())
    return finish(fail("the function is placed already, or another's; this is a defect of the machine's plugin."),
                  slot);
  (*found)->set_multifunction(multifunction != 0);
  std::unique_ptr<pci::PciFunction> function = std::move(*found);
  own.erase(found);
  return finish(platform(machine).pci()->add_function(std::move(function), devfn), slot);
}

void pci_ecam(nacre_instance* machine, uint64_t base, uint32_t buses) noexcept {
  if (PciTree* tree = platform(machine).pci()) tree->host().place_ecam(base, buses);
}

void cpu_ejected(nacre_instance* machine, uint32_t index) noexcept {
  VirtualMachine& vm = machine->vm;
  vm.loop().post_alone([&vm, index] { vm.devices().ejected(index); });
}

void boot_devices(nacre_instance* machine, void (*each)(void*, const nacre_boot_device*) noexcept,
                  void* opaque) noexcept {
  for (const nacre_instance* device : machine->vm.devices().in_boot_order()) {
    const pci::PciFunction* function = device->pci_function();
    if (!function || !function->bus()) continue;
    std::vector<uint8_t> path;
    for (; function; function = function->bus()->bridge()) path.insert(path.begin(), function->devfn());
    nacre_boot_device boot{};
    boot.size = sizeof boot;
    boot.virtio_device_id = device->virtio ? device->virtio->device->device_id() : 0;
    boot.path = path.data();
    boot.path_length = static_cast<uint32_t>(path.size());
    each(opaque, &boot);
  }
}

nacre_status set_x86_state(nacre_instance* machine, uint32_t index, const nacre_x86_state* state,
                           nacre_error* slot) noexcept {
  return finish(platform(machine).set_vcpu_state(index, *state), slot);
}

}  // namespace

const nacre_machine_v1 kMachine{sizeof(nacre_machine_v1),
                                0,
                                add_ram,
                                x86_platform,
                                virtio_mmio_window,
                                device,
                                replaceable_slot,
                                load_file,
                                pci_host,
                                pci_place,
                                pci_ecam,
                                cpu_ejected,
                                boot_devices};
const nacre_vcpu_v1 kVcpu{sizeof(nacre_vcpu_v1), 0, set_x86_state};

}  // namespace nacre::services
