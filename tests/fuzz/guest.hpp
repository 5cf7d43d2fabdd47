// What a guest's firmware and drivers would do, so that inputs need not find it out byte by byte: places for BARs and
// buses, virtio devices that are brought up, requests in their rings. All else the input does itself, to any of it.
#pragma once

#include <vector>

#include "tests/fuzz/machine_under_test.hpp"

namespace nacre::fuzz {

class Guest {
 public:
  explicit Guest(MachineUnderTest& machine) : machine_(machine), guest_(machine.guest()) { place(); }

  // [firmware] Gives buses their numbers and BARs their addresses, switches all functions on, and looks for virtio
  // devices.
  void place();

  // One of these, with operands, by the input.
  void access_ports(Input& input);
  void read_registers(Input& input);
  void write_registers(Input& input);
  void access_anywhere(Input& input);
  void write_memory(Input& input);
  void configure(Input& input);
  void configure_by_ports(Input& input);
  // Slot control and slot status of a root port, with values that a driver writes, and others.
  void answer_hotplug(Input& input);
  void bring_up(Input& input);
  void describe(Input& input);
  void request(Input& input);
  void offer(Input& input);
  void configure_device(Input& input);

  // Whatever was done to it, the machine can be reset, every virtio device brought up, and none needs a reset then.
  void require_all_work_after_a_reset();

 private:
  struct Virtio {
    bool mmio;
    uint64_t common, notify, config;  // with mmio: the first alone
    uint32_t multiplier;
    uint64_t msix;  // table; 0: none
  };
  static constexpr uint32_t kQueues = 6;    // that are set up, of each device
  static constexpr uint32_t kEntries = 16;  // of a queue
  static constexpr uint64_t kRings = 0x100000, kRingBytes = 0x1000;
  static constexpr uint64_t kBuffers = 0x400000;

  bool has_pci() { return machine_.vm().platform().pci() != nullptr; }
  uint32_t place_bus(uint32_t bus, uint32_t last_bus);
  void place_function(uint32_t bus, uint32_t devfn);
  void note_virtio(uint64_t config, const uint64_t* bars);
  uint64_t ring_at(size_t device, uint32_t queue) const { return kRings + (device * kQueues + queue) * kRingBytes; }
  void start(size_t device, uint64_t features, uint32_t entries);
  uint32_t status(const Virtio& device);
  void notify(const Virtio& device, uint32_t queue);
  // One of the ranges that somebody answers for, and in it a place.
  uint64_t somewhere(Input& input, uint32_t kind, uint32_t width);
  Virtio* device(Input& input, size_t* number);

  MachineUnderTest& machine_;
  qtest::Access& guest_;
  std::vector<uint64_t> functions_;  // configuration spaces
  std::vector<uint64_t> ports_;      // the same, of root ports
  std::vector<Virtio> virtio_;
};

}  // namespace nacre::fuzz
