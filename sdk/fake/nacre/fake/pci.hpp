// A PCI function on the fake host, with the guest's side of it: configuration, BARs, interrupts.
#pragma once

#include <nacre/abi/registry.h>

#include <array>
#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <nacre/mutex.hpp>
#include <vector>

struct nacre_instance;
struct nacre_mmio_region;

// What it has is set up by its device. The functions below are the guest's: callable on any thread once the device is
// realized. A capability's list and the sizes of BARs can be read there as in a guest; BARs are always decoded.
struct nacre_pci {
  explicit nacre_pci(nacre_instance* owner, const nacre_pci_desc& desc, void* its_self);
  ~nacre_pci();

  // Configuration: `width` is 1, 2 or 4; beyond 4096 bytes it reads as ones.
  uint32_t read_config(uint32_t offset, uint32_t width);
  void write_config(uint32_t offset, uint32_t width, uint32_t value);
  // Bus mastering, and MSI-X where the function has it: what a driver turns on first.
  void enable();
  // The configuration as at the beginning, with interrupts off and forgotten; the device hears of it.
  void reset_config();
  // An access to a BAR; a write that an event is on signals that instead.
  uint64_t read(uint32_t bar, uint64_t offset, uint32_t width);
  void write(uint32_t bar, uint64_t offset, uint32_t width, uint64_t value);
  // How often the vector's message has been sent so far, by notify() or its eventfd.
  uint64_t interrupts(uint32_t vector);
  bool intx() const { return intx_level; }

  // For the tables.
  // [any] Whether this thread is in config_written() of this function, and so holds the mutex.
  bool is_told() const;
  struct Event {
    uint32_t bar;
    uint64_t offset;
    uint32_t width;
    bool match;
    uint64_t value;
    int fd;
  };
  struct Memory {
    nacre_pci_memory what;
    uint8_t* mapped;
  };
  nacre_instance* instance;
  void* self;
  nacre_pci_ops ops{};
  std::array<std::unique_ptr<nacre_mmio_region>, 6> bars;
  std::array<uint32_t, 6> bar_kinds{};
  std::list<Memory> memories;
  std::list<Event> events;
  nacre::sdk::Mutex mutex;
  static constexpr uint32_t kConfigBytes = 4096;
  using Bytes = std::array<uint8_t, kConfigBytes>;
  Bytes config NACRE_GUARDED_BY(mutex){};
  Bytes writable{}, clears{}, first{};
  std::array<bool, kConfigBytes> own{};
  uint32_t next = 0x40, next_extended = 0x100, last = 0, last_extended = 0;
  uint32_t vectors = 0, msix_at = 0;
  std::unique_ptr<std::atomic<uint64_t>[]> sent;
  std::map<uint32_t, int> vector_fds;
  std::atomic<uint32_t> state{0};
  std::atomic<bool> intx_level{false};

 private:
  void follow() NACRE_REQUIRES(mutex);
  void tell(uint32_t offset, uint32_t width) NACRE_REQUIRES(mutex);
};
