// PCI buses for a run: the fixture of the unit tests, outside of them, with accesses that the input chooses.
#pragma once

#include "core/bus/pci/root_port.hpp"
#include "core/bus/pci/test_pci.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/quiet.hpp"

namespace nacre::fuzz {

class PciBench : public pci::PciTest {
 protected:
  void TestBody() override {}

  // An access to the configuration: of functions that are there, more often than not.
  void configure(Input& input) {
    static constexpr uint8_t kPlaces[] = {1 << 3, 2 << 3, 3 << 3, 4 << 3, 0};
    const uint8_t how = input.number<uint8_t>();
    const uint32_t bus = how & 1 ? input.number<uint8_t>() : how >> 1 & 1;
    const uint32_t devfn = how & 4 ? input.number<uint8_t>() : kPlaces[how >> 5 & 3];
    const uint32_t offset = how & 8 ? input.number<uint16_t>() % 4096 : input.number<uint8_t>();
    const uint32_t width = 1u << input.number<uint8_t>() % 4;
    if (how & 16) {
      ports_->write(0, 0xcf8, 4, 1u << 31 | bus << 16 | devfn << 8 | (offset & 0xfc));
      ports_->write(0, 0xcfc + (offset & 3), width, input.number<uint32_t>());
      (void)ports_->read(0, 0xcfc + (offset & 3), width);
    } else {
      write(bus, devfn, offset, width, input.number<uint32_t>());
      (void)read(bus, devfn, offset, width);
    }
  }
  // An access where BARs may be.
  void access(Input& input) {
    static constexpr uint64_t kBases[] = {kMemory, kHigh, kMemory + kMemoryBytes - 0x1000, 0};
    const uint8_t how = input.number<uint8_t>();
    const uint32_t width = 1u << (how >> 4 & 3);
    AddressSpace& space = how & 1 ? *ports_ : *memory_;
    const uint64_t address = how & 1 ? input.number<uint16_t>() : kBases[how >> 1 & 3] + input.number<uint32_t>();
    space.write(0, address, width, input.number<uint32_t>());
    (void)space.read(0, address, width);
  }
  // What holds for a function whatever the guest has done.
  void require_sound(pci::PciFunction& function, uint16_t vendor) {
    require(function.config().get16(pci::kVendorId) == vendor, "nobody writes the identity");
    for (uint32_t i = 0; i < pci::PciFunction::kBars; ++i) {
      const pci::Bar& bar = function.bar(i);
      require(bar.mapped_at.has_value() == (bar.region != nullptr), "a BAR that is mapped has its range");
      if (!bar.mapped_at) continue;
      require(function.bus() && bar.mapped_at == function.decoded_at(i), "a BAR is mapped where its register says");
      const AddressSpace& space = bar.kind == pci::BarKind::Io ? *ports_ : *memory_;
      require(space.owner_of(*bar.mapped_at, bar.bytes) == function.owner(), "the range of a BAR is its owner's");
    }
  }
};

}  // namespace nacre::fuzz
