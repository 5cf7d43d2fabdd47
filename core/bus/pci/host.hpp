// The way from the processors to the PCI buses: configuration by ECAM and by ports, ranges of the BARs in memory and
// I/O space.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/mutex.hpp"
#include "core/bus/address_space.hpp"
#include "core/bus/pci/bus.hpp"
#include "core/loop/event_loop.hpp"
#include "core/loop/lock_and_serve.hpp"

namespace nacre::pci {

struct HostLayout {
  uint64_t ecam_base = 0;
  uint32_t ecam_buses = 0;  // 1 MiB each; 0: none
  Range memory32;           // below 4 GiB, where BARs may be put
  Range memory64;           // above; empty: none
  Range io;
  uint32_t first_gsi = 0;     // of four lines
  bool config_ports = false;  // 0xCF8 to 0xCFF
  // Accesses to ports 0xCF8 to 0xCFB other than of all four bytes; the offset is from 0xCF8. NULL: nobody's.
  nacre_mmio_ops other_ports{};
  void* other_ports_opaque = nullptr;
  // What is below a bridge answers wherever the bus above it would, whatever the bridge's windows and Command say, for
  // tests that program neither.
  bool bridges_pass_all = false;
};

class PciHost {
 public:
  // What it stands on; all outlive it.
  struct Ground {
    AddressSpace& memory;
    AddressSpace& ports;
    EventLoop& loop;  // the main thread's
    kvm::Vm* vm;      // NULL in tests: interrupts go nowhere
    MessageSender* messages;
  };

  // [main] Fails when a range is taken.
  static Result<std::unique_ptr<PciHost>> create(const Ground& ground, const HostLayout& layout);
  // Every function has been unplugged.
  ~PciHost();
  PciHost(const PciHost&) = delete;
  PciHost& operator=(const PciHost&) = delete;

  PciBus& root() { return root_; }
  SharedLines& lines() { return lines_; }
  MessageSender* messages() { return ground_.messages; }
  kvm::Vm* vm() { return ground_.vm; }
  EventLoop& loop() { return ground_.loop; }

  // [main] Puts the function, complete, at a free place, `hot`: while the guest runs; takes it away, with its ranges.
  void plug(PciBus& bus, uint8_t devfn, PciFunction& function, bool hot = false);
  void unplug(PciFunction& function);
  // [main, vCPUs parked] Every function as at power-on, ECAM where it was at first.
  void reset();

  // [any] Moves ECAM; 0 buses turn it off. Not before the access that is under way has ended, so it may be asked for by
  // an access through ECAM itself.
  void place_ecam(uint64_t base, uint32_t buses);

  // [any] An access to the configuration of a function; of one that is not there it reads as all ones (PCIe 5.0
  // §2.3.2) and writes nothing. `width` is 1, 2 or 4.
  uint32_t read_config(uint8_t bus, uint8_t devfn, uint32_t offset, uint32_t width);
  void write_config(uint8_t bus, uint8_t devfn, uint32_t offset, uint32_t width, uint32_t value);

  // [any] Runs `change`, which touches the configuration or the buses, with the accesses of the guest shut out; ranges
  // follow afterwards.
  template <typename Change>
  auto change(Change&& change_it) {
    ServingLock lock(mutex_);
    struct Following {
      PciHost* host;
      ~Following() { host->follow(); }
    } following{this};
    return change_it();
  }

 private:
  struct Windows {
    std::vector<Range> memory, io;
  };
  struct Wanted {
    PciFunction* function;
    uint32_t index;
    std::optional<uint64_t> base;
  };

  PciHost(const Ground& ground, const HostLayout& layout)
      : ground_(ground), layout_(layout), root_("pcie.0", nullptr), lines_(ground.vm, layout.first_gsi) {}

  PciFunction* find(uint8_t bus, uint8_t devfn) NACRE_REQUIRES(mutex_);
  Status claim_ecam();
  void follow() NACRE_REQUIRES(mutex_);
  void collect(PciBus& bus, const Windows& windows, std::vector<Wanted>& wanted) const;
  void remap(const std::vector<Wanted>& wanted);
  void unmap(PciFunction& function, uint32_t index);

  static uint64_t ecam_read(void* self, uint64_t offset, uint32_t width) noexcept;
  static void ecam_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept;
  static uint64_t port_read(void* self, uint64_t offset, uint32_t width) noexcept;
  static void port_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept;

  const Ground ground_;
  const HostLayout layout_;
  PciBus root_;
  SharedLines lines_;
  Mutex mutex_;                                    // around every access to configuration
  uint32_t address_ NACRE_GUARDED_BY(mutex_) = 0;  // CONFIG_ADDRESS, PCI 3.0 §3.2.2.3.2
  struct EcamPlace {
    uint64_t base = 0;
    uint32_t buses = 0;
  };
  Mutex wanted_mutex_;
  EcamPlace wanted_ NACRE_GUARDED_BY(wanted_mutex_);
  bool wanted_posted_ NACRE_GUARDED_BY(wanted_mutex_) = false;
  // [main]
  bool ecam_lost_ = false;  // where the guest wants it, it cannot be
  bool ecam_told_ = false;  // of that, since the last reset
  uint64_t ecam_base_ = 0;
  uint32_t ecam_buses_ = 0;
  BusRegion* ecam_ = nullptr;
  BusRegion* ports_ = nullptr;
};

}  // namespace nacre::pci
