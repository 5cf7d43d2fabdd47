// The PCI buses of a machine: what the machine's plugin asked for, and the places that users name by bus= and addr=.
#pragma once

#include <nacre/abi/machine.h>

#include <memory>
#include <string>
#include <vector>

#include "core/bus/pci/host.hpp"
#include "core/memory/guest_memory.hpp"
#include "core/vm/bar_memory.hpp"

namespace nacre {

// Main thread only, but for host().
class PciTree {
 public:
  struct Place {
    pci::PciBus* bus;
    uint8_t devfn;
  };
  // The user's words; empty: not given.
  struct Words {
    std::string bus, addr;
    bool hot = false;  // the device comes while the guest runs
    bool multifunction = false;
    bool port = false;  // it is a port itself
  };

  // Fails, in words, for windows that overlap RAM or each other, or ranges that are taken. `bridges_pass_all`: see
  // pci::HostLayout.
  static Result<std::unique_ptr<PciTree>> create(const nacre_pci_host& wanted, kvm::Vm& vm, AddressSpace& memory,
                                                 AddressSpace& ports, EventLoop& loop, GuestMemory& ram,
                                                 bool bridges_pass_all = false);
  // Every device has been unplugged.
  ~PciTree();
  PciTree(const PciTree&) = delete;
  PciTree& operator=(const PciTree&) = delete;

  pci::PciHost& host() { return *host_; }
  BarSlots& bar_slots() { return *bar_slots_; }
  // A function of the machine's own, complete, at a place of the root bus. Fails when that is taken.
  Status add_function(std::unique_ptr<pci::PciFunction> function, uint8_t devfn);
  // Finds the place that the words name, or the next free slot of the bus; by default of "pcie.0". Fails for a bus that
  // is not there, a bad address, a place that is occupied, and one that the guest would not find.
  Result<Place> find_place(const Words& words);

 private:
  PciTree() = default;
  Result<uint8_t> free_slot(const pci::PciBus& bus) const;
  void names_below(const pci::PciBus& bus, std::vector<std::string>& names) const;

  std::unique_ptr<pci::KvmMessages> messages_;
  std::unique_ptr<pci::PciHost> host_;
  std::unique_ptr<BarSlots> bar_slots_;
  std::vector<std::unique_ptr<pci::PciFunction>> chipset_;
};

}  // namespace nacre
