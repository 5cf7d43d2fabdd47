#include "core/vm/pci_tree.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "core/base/suggest.hpp"
#include "core/bus/pci/root_port.hpp"

namespace nacre {
namespace {

constexpr uint32_t kConventional = pci::kConventionalEnd;
constexpr uint32_t kOwnBytes = 0x40;  // after the header

// "0x3", "0x3.0x1", "3.1": slot and function in hexadecimal.
Result<uint8_t> parse_address(const std::string& text) {
  auto number = [](std::string_view digits, uint32_t most) -> int {
    if (digits.starts_with("0x")) digits.remove_prefix(2);
    uint32_t value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return error == std::errc() && end == digits.data() + digits.size() && value <= most ? static_cast<int>(value) : -1;
  };
  const size_t dot = text.find('.');
  const int slot = number(std::string_view(text).substr(0, dot), 0x1f);
  const int function = dot == std::string::npos ? 0 : number(std::string_view(text).substr(dot + 1), 7);
  if (slot < 0 || function < 0)
    return fail(
        "addr '{}' is no PCI address: write a slot from 0x0 to 0x1f, and after a dot a function from 0x0 to 0x7.",
        text);
  return static_cast<uint8_t>(slot << 3 | function);
}

}  // namespace

// A function of the chipset: bytes that the guest may write and the machine hears of.
class PciTree::Chipset : public pci::PciFunction {
 public:
  explicit Chipset(const nacre_pci_function& wanted)
      : PciFunction(wanted.name ? wanted.name : "the chipset",
                    {wanted.vendor_id, wanted.device_id, wanted.revision, wanted.class_code, wanted.subsystem_vendor_id,
                     wanted.subsystem_id}),
        written_(wanted.written),
        opaque_(wanted.opaque) {
    for (uint32_t i = kOwnBytes; i < kConventional; ++i) {
      if (wanted.content) config().set8(i, wanted.content[i]);
      if (wanted.writable) config().writable(i, 1, wanted.writable[i]);
    }
    set_multifunction(wanted.multifunction != 0);
  }

  void write_config(uint32_t offset, uint32_t width, uint32_t value) override {
    PciFunction::write_config(offset, width, value);
    if (offset + width > kOwnBytes && offset < kConventional) tell(offset, width);
  }
  void reset() override {
    PciFunction::reset();
    tell(kOwnBytes, kConventional - kOwnBytes);
  }

 private:
  void tell(uint32_t offset, uint32_t width) {
    if (!written_) return;
    uint8_t bytes[kConventional];
    for (uint32_t i = 0; i < kConventional; ++i) bytes[i] = config().get8(i);
    written_(opaque_, bytes, offset, width);
  }

  void (*written_)(void*, const uint8_t*, uint32_t, uint32_t) noexcept;
  void* opaque_;
};

Result<std::unique_ptr<PciTree>> PciTree::create(const nacre_pci_host& wanted, kvm::Vm& vm, AddressSpace& memory,
                                                 AddressSpace& ports, EventLoop& loop, GuestMemory& ram) {
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
  const pci::Range ecam{wanted.ecam_base, uint64_t{wanted.ecam_buses} << 20};
  for (const pci::Range& window : {layout.memory32, layout.memory64, ecam})
    for (const MemoryRegion& region : ram.regions())
      if (window.base < region.gpa + region.length && region.gpa < window.base + window.length)
        return fail("the machine puts a PCI window at {:#x}, where RAM is; this is a defect of the plugin.",
                    window.base);
  auto tree = std::unique_ptr<PciTree>(new PciTree);
  tree->messages_ = std::make_unique<pci::KvmMessages>(vm);
  auto host = pci::PciHost::create({memory, ports, loop, &vm, tree->messages_.get()}, layout);
  if (!host) return host.error();
  tree->host_ = std::move(*host);
  return tree;
}

PciTree::~PciTree() {
  for (auto& function : chipset_) host_->unplug(*function);
}

Status PciTree::add_function(const nacre_pci_function& wanted) {
  if (pci::PciFunction* other = host_->root().at(wanted.devfn))
    return fail("PCI address {:#x}.{:x} has {} already; this is a defect of the machine's plugin.", wanted.devfn >> 3,
                wanted.devfn & 7, other->name());
  chipset_.push_back(std::make_unique<Chipset>(wanted));
  host_->plug(host_->root(), wanted.devfn, *chipset_.back());
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
  Result<uint8_t> devfn = words.addr.empty() ? free_slot(*bus) : parse_address(words.addr);
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
