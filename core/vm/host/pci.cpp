// nacre.pci/1: what stands on a PCI bus other than virtio devices.
#include "core/bus/pci/root_port.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::services {
namespace {

// Whether the instance may become a function; its buses in `tree`.
Status may_attach(nacre_instance* instance, PciTree*& tree) {
  const bool machine = instance->type->kind == NACRE_KIND_MACHINE;
  tree = instance->vm.platform().pci();
  if (!tree) return fail("the machine has no PCI host{}.", machine ? " yet" : "");
  if (machine) return {};
  if (!instance->type->bus || std::string_view(instance->type->bus) != "pci")
    return fail("a PCI function needs a device type of bus \"pci\"; this is a defect of the plugin.");
  if (!instance->functions.empty()) return fail("it is a PCI function already; this is a defect of the plugin.");
  if (instance->placed) return fail("a PCI function is made in realize(), not later; this is a defect of the plugin.");
  return {};
}

nacre_status root_port(nacre_instance* instance, const nacre_pci_port* wanted, nacre_error* slot) noexcept {
  PciTree* tree;
  if (Status may = may_attach(instance, tree); !may) return finish(may, slot, NACRE_UNSUPPORTED);
  if (tree->host().root().find(instance->id)) return finish(fail("there is a bus '{}' already.", instance->id), slot);
  pci::RootPort::Options options;
  options.vendor = wanted->vendor_id;
  options.device = wanted->device_id;
  options.revision = wanted->revision;
  options.port = wanted->port;
  options.fast_unplug = wanted->fast_unplug != 0;
  options.memory = &instance->vm.platform().space(NACRE_SPACE_MMIO);
  auto port = pci::RootPort::create(instance->id, instance->name(), options, tree->host());
  if (!port) return finish(port.error(), slot);
  (*port)->on_power_off(
      [&vm = instance->vm, id = instance->id] { vm.loop().post_alone([&vm, id] { vm.devices().switched_off(id); }); });
  instance->functions.push_back(std::move(*port));
  return NACRE_OK;
}

nacre_status attach(nacre_instance* instance, const nacre_pci_desc* desc, void* self, nacre_pci** pci,
                    nacre_error* slot) noexcept {
  PciTree* tree;
  if (Status may = may_attach(instance, tree); !may) return finish(may, slot, NACRE_UNSUPPORTED);
  const bool device = instance->type->kind == NACRE_KIND_DEVICE;
  PluginFunction::Maker maker{
      .plugin = instance->plugin_id,
      .instance = instance->id,
      .name = device || !desc->name ? instance->name() : desc->name,
      .loop = instance->loop,
      .reset = device ? static_cast<const nacre_device_ops*>(instance->type->ops)->reset : nullptr,
      .device = &instance->self,
      .owner = instance};
  auto made = PluginFunction::create(tree->host(), tree->bar_slots(), std::move(maker), *desc, self);
  if (!made) return finish(made.error(), slot);
  *pci = reinterpret_cast<nacre_pci*>(made->get());
  instance->functions.push_back(std::move(*made));
  return NACRE_OK;
}

// A plugin gives back its function after the host has taken it off its bus; one that does so earlier is taken at its
// word.
void detach(nacre_pci* pci) noexcept {
  PluginFunction* function = function_of(pci);
  nacre_instance* instance = function->instance();
  if (function->bus()) instance->vm.platform().pci()->host().unplug(*function);
  std::erase_if(instance->functions, [=](auto& held) { return held.get() == function; });
}

nacre_status bar(nacre_pci* pci, const nacre_pci_bar* wanted, nacre_error* slot) noexcept {
  return finish(function_of(pci)->add_plugin_bar(*wanted), slot);
}

nacre_status bar_memory(nacre_pci* pci, const nacre_pci_memory* memory, nacre_error* slot) noexcept {
  return finish(function_of(pci)->add_memory(*memory), slot);
}

nacre_status bar_event(nacre_pci* pci, uint32_t bar, uint64_t offset, uint32_t width, uint8_t match, uint64_t value,
                       int32_t* fd, nacre_error* slot) noexcept {
  auto made = function_of(pci)->add_event(bar, offset, width, match ? std::optional(value) : std::nullopt);
  if (!made) return finish(made.error(), slot);
  *fd = *made;
  return NACRE_OK;
}

nacre_status capability(nacre_pci* pci, const nacre_pci_capability* wanted, uint32_t* offset,
                        nacre_error* slot) noexcept {
  auto added = function_of(pci)->add_plugin_capability(*wanted);
  if (!added) return finish(added.error(), slot);
  if (offset) *offset = *added;
  return NACRE_OK;
}

nacre_status msix(nacre_pci* pci, uint32_t bar, uint32_t vectors, nacre_error* slot) noexcept {
  return finish(function_of(pci)->add_plugin_msix(bar, vectors), slot);
}

nacre_status vector_fd(nacre_pci* pci, uint32_t vector, int32_t* fd, nacre_error* slot) noexcept {
  auto made = function_of(pci)->vector_fd(vector);
  if (!made) return finish(made.error(), slot);
  *fd = *made;
  return NACRE_OK;
}

void notify(nacre_pci* pci, uint32_t vector) noexcept {
  if (pci::Msix* msix = function_of(pci)->msix()) msix->notify(vector);
}

void set_intx(nacre_pci* pci, uint32_t level) noexcept {
  function_of(pci)->set_intx(level != 0);
}

uint32_t state(nacre_pci* pci) noexcept {
  return function_of(pci)->state();
}

nacre_status read_config(nacre_pci* pci, uint32_t offset, void* to, uint32_t length) noexcept {
  return function_of(pci)->read_bytes(offset, to, length) ? NACRE_OK : NACRE_INVALID;
}

nacre_status write_config(nacre_pci* pci, uint32_t offset, const void* from, uint32_t length) noexcept {
  return function_of(pci)->write_bytes(offset, from, length) ? NACRE_OK : NACRE_INVALID;
}

}  // namespace

PluginFunction* function_of(nacre_pci* pci) {
  return reinterpret_cast<PluginFunction*>(pci);
}

const nacre_pci_v1 kPci{sizeof(nacre_pci_v1), 0,    root_port, attach, detach,   bar,   bar_memory,  bar_event,
                        capability,           msix, vector_fd, notify, set_intx, state, read_config, write_config};

}  // namespace nacre::services
