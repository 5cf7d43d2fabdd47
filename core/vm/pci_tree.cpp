#include "core/vm/pci_tree.hpp"

#include <algorithm>

#include "core/base/suggest.hpp"
#include "core/bus/pci/root_port.hpp"
#include "core/plugin/values.hpp"

namespace nacre {
namespace {

Result<uint8_t> address(const std::string& text) {
  if (std::optional<uint8_t> devfn = parse_pci_address(text)) return *devfn;
  return fail("addr '{}' is no PCI address: write a slot from 0x0 to 0x1f, and after a dot a function from 0x0 to 0x7.",
              text);
}

}  // namespace

Result<std::unique_ptr<PciTree>> PciTree::create(const nacre_pci_host& wanted, kvm::Vm& vm, AddressSpace& memory,
                                                 AddressSpace& ports, EventLoop& loop, GuestMemory& ram,
                                                 bool bridges_pass_all) {
  pci::HostLayout layout;
  layout.ecam_base = wanted.ecam_base;
  layout.ecam_buses = wanted.ecam_buses;
  layout.memory32 = {wanted.memory32_base, wanted.memory32_length};
  layout.memory64 = {wanted.memory64_base, wanted.memory64_length};
  layout.io = {wanted.io_base, wanted.io_length};
  layout.first_gsi = wanted.first_gsi;
  layout.config_ports = wanted.flags & NACRE_PCI_CONFIG_PORTS;
  layout.other_ports = {sizeof layout.other_ports, 0, wanted.port_read, wanted.port_write};
  layout.other_ports_opaque = wanted.port_opaque;
  layout.bridges_pass_all = bridges_pass_all;
  const pci::Range ecam{wanted.ecam_base, uint64_t{wanted.ecam_buses} << 20};
  for (const pci::Range& window : {layout.memory32, layout.memory64, ecam})
    for (const MemoryRegion& region : ram.regions())
      if (window.base < region.gpa + region.length && region.gpa < window.base + window.length)
        return fail("the machine puts a PCI window at {:#x}, where RAM is; this is a defect of the plugin.",
                    window.base);
  auto tree = std::unique_ptr<PciTree>(new PciTree);
  tree->messages_ = std::make_unique<pci::KvmMessages>(vm);
  tree->bar_slots_ = std::make_unique<BarSlots>(vm);
  auto host = pci::PciHost::create({memory, ports, loop, &vm, tree->messages_.get()}, layout);
  if (!host) return host.error();
  tree->host_ = std::move(*host);
  return tree;
}

PciTree::~PciTree() {
  for (auto& function : chipset_) host_->unplug(*function);
}

Status PciTree::add_function(std::unique_ptr<pci::PciFunction> function, uint8_t devfn) {
  if (pci::PciFunction* other = host_->root().at(devfn))
    return fail("PCI address {:#x}.{:x} has {} already; this is a defect of the machine's plugin.", devfn >> 3,
                devfn & 7, other->name());
  chipset_.push_back(std::move(function));
  host_->plug(host_->root(), devfn, *chipset_.back());
  return {};
}

void PciTree::names_below(const pci::PciBus& bus, std::vector<std::string>& names) const {
  names.push_back(bus.id());
  for (pci::PciFunction* function : bus.functions())
    if (pci::PciBus* below = function ? function->secondary() : nullptr) names_below(*below, names);
}

Result<uint8_t> PciTree::free_slot(const pci::PciBus& bus) const {
  // Below a port there is one slot (PCIe 5.0 §7.3.1).
  const uint32_t slots = bus.bridge() ? 1 : 32;
  for (uint32_t slot = 0; slot < slots; ++slot) {
    bool empty = true;
    for (uint32_t function = 0; function < 8; ++function) empty &= !bus.at(static_cast<uint8_t>(slot << 3 | function));
    if (empty) return static_cast<uint8_t>(slot << 3);
  }
  return fail("bus '{}' has no free slot left.", bus.id());
}

Result<PciTree::Place> PciTree::find_place(const Words& words) {
  const std::string& name = words.bus.empty() ? host_->root().id() : words.bus;
  pci::PciBus* bus = host_->root().find(name);
  if (!bus) {
    std::vector<std::string> names;
    names_below(host_->root(), names);
    return fail("there is no PCI bus '{}'.{}", name, did_you_mean(name, names));
  }
  if (words.hot && !bus->bridge())
    return fail("Failed to plug device: No hot plug controller found for bus {} when plug", name);
  if (words.port && bus->bridge())
    return fail("a root port stands on bus '{}', not below another.", host_->root().id());
  Result<uint8_t> devfn = words.addr.empty() ? free_slot(*bus) : address(words.addr);
  if (!devfn) return devfn.error();
  const auto slot = *devfn >> 3, function = *devfn & 7;
  if (bus->bridge() && slot != 0) return fail("bus '{}' is below a port and has slot 0x0 only, not {:#x}.", name, slot);
  if (words.hot && *devfn != 0)
    return fail("bus '{}' takes a device that comes while the guest runs at addr 0x0 only, not {}.", name, words.addr);
  if (pci::PciFunction* other = bus->at(*devfn))
    return fail("slot {:#x} function {:#x} of bus '{}' is occupied by {}.", slot, function, name, other->name());
  // A guest looks at functions beyond the first of a slot only where the first says so (PCI 3.0 §6.2.1).
  if (function != 0) {
    pci::PciFunction* first = bus->at(static_cast<uint8_t>(slot << 3));
    if (first && !(first->config().get8(pci::kHeaderType) & 0x80))
      return fail("{} at slot {:#x} is the slot's only function; give it multifunction=on for others beside it.",
                  first->name(), slot);
  } else if (!words.multifunction) {
    for (uint32_t other = 1; other < 8; ++other)
      if (pci::PciFunction* there = bus->at(static_cast<uint8_t>(slot << 3 | other)))
        return fail("slot {:#x} of bus '{}' has {} at function {:#x} too; give this one multifunction=on.", slot, name,
                    there->name(), other);
  }
  if (auto* port = words.hot ? dynamic_cast<pci::RootPort*>(bus->bridge()) : nullptr)
    if (Status free = host_->change([&] { return port->may_plug(); }); !free) return free.error();
  return Place{bus, *devfn};
}

}  // namespace nacre
