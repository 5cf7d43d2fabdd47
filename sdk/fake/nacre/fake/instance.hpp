// What the handles of the contract stand for in the fake host: an instance and all that it holds.
#pragma once

#include <nacre/abi/registry.h>

#include <array>
#include <list>
#include <map>
#include <memory>
#include <nacre/fake/loop.hpp>
#include <nacre/fake/memory.hpp>
#include <nacre/fake/pci.hpp>
#include <span>
#include <string>
#include <vector>

struct nacre_error {
  char text[NACRE_ERROR_MAX] = {};
};

struct nacre_irq {
  nacre_instance* instance;
  uint32_t gsi;
  uint32_t level = 0;
  uint64_t edges = 0;
  int fd = -1;  // of irqfd()
};

struct nacre_mmio_region {
  nacre_instance* instance;
  uint32_t space;
  uint64_t base, length;
  nacre_mmio_ops ops;
  void* opaque;
  std::vector<int> ioeventfds;
  std::span<uint8_t> mapped{};  // what the guest reads there without an exit
};

struct nacre_virtio {
  nacre_instance* instance;
  void* self;
  nacre_virtio_ops ops;
  uint32_t device_id;
  uint64_t features;
  std::vector<uint16_t> queue_sizes;
  std::vector<uint8_t> config;
  std::string broken;  // the reason of needs_reset(), "" without one
  std::atomic<uint64_t> config_interrupts{0};
};

struct nacre_balloon {
  nacre_instance* instance;
  nacre_balloon_ops ops;
  void* self;
};

namespace nacre::fake {

// A property's value, as the host has parsed it.
struct Value {
  uint32_t type;  // NACRE_PROP_*
  uint64_t number;
  std::string text;
};

struct BackEnds;

// Writes and reads state, in memory.
using State = std::map<uint32_t, std::pair<bool, std::string>>;  // tag: is it a number, its bytes

}  // namespace nacre::fake

struct nacre_state_writer {
  nacre::fake::State fields;
  bool twice = false;  // a tag came twice
};

struct nacre_state_reader {
  const nacre::fake::State& fields;
  uint32_t version;
};

struct nacre_instance {
  nacre_instance(nacre::fake::Memory& ram, nacre_loop& its_loop, std::string its_id);
  ~nacre_instance();

  nacre::fake::Memory& memory;
  nacre_loop& loop;
  std::string id;
  std::map<std::string, nacre::fake::Value> properties;

  std::list<nacre_irq> irqs;
  std::list<nacre_mmio_region> regions;
  std::unique_ptr<nacre_virtio> virtio;
  std::unique_ptr<nacre_pci> pci;
  bool pci_port = false;  // the function is a root port, which is the host's
  std::unique_ptr<nacre_balloon> balloon;
  std::unique_ptr<nacre::fake::BackEnds> back_ends;
  nacre_callback power_button = nullptr;
  void* power_button_opaque = nullptr;
  nacre_callback memory_changed = nullptr;  // what the device is to be told by when the map of memory has changed
  void* memory_changed_opaque = nullptr;
  uint32_t pins = 0;
  std::map<std::string, std::pair<nacre_qmp_handler, void*>> commands;
  std::vector<std::string> events;
  std::vector<uint32_t> requests;  // NACRE_REQUEST_*
  std::vector<std::string> log;

  // What a vCPU can reach of the device: I/O ranges and BARs.
  std::vector<nacre_mmio_region*> reachable();
  // In words, what the device still holds of the host's; "" when it holds nothing.
  std::string held() const;
};
