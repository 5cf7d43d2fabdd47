// One function on a PCI bus: configuration space, base address registers, interrupts.
#pragma once

#include <nacre/abi/mmio.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "core/base/mutex.hpp"
#include "core/bus/address_space.hpp"
#include "core/bus/pci/config_space.hpp"
#include "core/bus/pci/interrupts.hpp"
#include "core/bus/pci/msix.hpp"

namespace nacre::pci {

class PciBus;

struct Identity {
  uint16_t vendor, device;
  uint8_t revision;
  uint32_t class_code;  // 24 bits: base class, subclass, programming interface
  uint16_t subsystem_vendor = 0, subsystem = 0;
};

// A range of addresses; empty when length is 0.
struct Range {
  uint64_t base = 0, length = 0;
  bool holds(uint64_t address, uint64_t bytes) const {
    return address >= base && bytes <= length && address - base <= length - bytes;
  }
};

enum class BarKind { Memory32, Memory64, Io };

struct Bar {
  BarKind kind = BarKind::Memory32;
  uint64_t bytes = 0;  // 0: there is none
  nacre_mmio_ops ops{};
  void* opaque = nullptr;
  uint32_t flags = 0;  // NACRE_MMIO_*
  // [main]
  std::optional<uint64_t> mapped_at;
  BusRegion* region = nullptr;
};

// The guest's accesses to its configuration come under the host's lock, on any vCPU; all else on the main thread.
class PciFunction {
 public:
  static constexpr uint32_t kBars = 6;

  // `name` begins sentences about it. A bridge (header type 1) has two BARs and no subsystem.
  PciFunction(std::string name, const Identity& identity, bool bridge = false);
  // It has been unplugged.
  virtual ~PciFunction();
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  const std::string& name() const { return name_; }
  bool is_bridge() const { return bridge_; }
  ConfigSpace& config() { return config_; }
  Msix* msix() { return msix_.get(); }
  const Bar& bar(uint32_t index) const { return bars_[index]; }

  // While it is being made. Register `index` (64-bit: and the one after it) becomes a range of `bytes`, a power of two
  // of at least 16 (I/O: 4 to 256), whose accesses go to `ops` (copied), or nowhere with functions that are NULL. Fails
  // in words.
  Status add_bar(uint32_t index, BarKind kind, bool prefetchable, uint64_t bytes, const nacre_mmio_ops& ops,
                 void* opaque, uint32_t flags = 0);
  // MSI-X with a 32-bit memory BAR of its own.
  Status add_msix(uint32_t vectors, uint32_t bar, MessageSender* sender);
  // The pin INTA (1) to INTD (4); where it ends is decided when the function is plugged in.
  void add_intx(uint8_t pin = 1);
  // The PCI Express capability (PCIe 5.0 §7.5.3), version 2, of a device or port of `type` (§7.5.3.2). Returns its
  // offset.
  uint32_t add_express(uint8_t type, uint32_t bytes = 0x3c);
  void set_multifunction(bool on);

  // The guest's accesses; inside the 4096 bytes.
  virtual uint32_t read_config(uint32_t offset, uint32_t width);
  virtual void write_config(uint32_t offset, uint32_t width, uint32_t value);

  // [any] The level of its INTx signal. Without effect while MSI-X is on, or the guest has disabled it.
  void set_intx(bool level);

  // As after power-on, or after the bus above it was reset (PCIe 5.0 §6.6.1).
  virtual void reset();
  // Whether a write at `offset` of its configuration may have moved ranges: its own, or those below it.
  virtual bool moves_ranges(uint32_t offset) const { return offset < kHeaderEnd || is_port(); }
  // Who answers for its BARs, in words that can begin a sentence.
  virtual const std::string& owner() const { return name_; }
  // [main] A BAR is at this address now, or nowhere.
  virtual void bar_moved(uint32_t /*index*/, std::optional<uint64_t> /*base*/) {}
  // The bus below a bridge, or NULL.
  virtual PciBus* secondary() { return nullptr; }
  // Of a bridge, under the lock: whether it is a port with one slot below; whether accesses reach that; that it was put
  // at its place; that a device below it came, `hot`: while the guest runs, or went.
  virtual bool is_port() const { return false; }
  virtual bool link_up() const { return true; }
  virtual void placed(uint8_t /*devfn*/) {}
  virtual void child_came(bool /*hot*/) {}
  virtual void child_went() {}

  // Where a BAR's range is by the registers, whatever the windows above it are; nothing while it is not decoded.
  std::optional<uint64_t> decoded_at(uint32_t index) const;

  // Set by the bus.
  PciBus* bus() const { return bus_; }
  uint8_t devfn() const { return devfn_; }

 private:
  friend class PciBus;
  friend class PciHost;
  void wire(SharedLines* lines, uint32_t line);
  void follow_intx();
  void settle_intx() NACRE_REQUIRES(intx_mutex_);
  void show_intx();

  const std::string name_;
  const bool bridge_;
  ConfigSpace config_;
  Bar bars_[kBars];
  std::unique_ptr<Msix> msix_;
  PciBus* bus_ = nullptr;
  uint8_t devfn_ = 0;

  Mutex intx_mutex_;
  SharedLines* lines_ NACRE_GUARDED_BY(intx_mutex_) = nullptr;
  uint32_t line_ NACRE_GUARDED_BY(intx_mutex_) = 0;
  bool asserted_ NACRE_GUARDED_BY(intx_mutex_) = false;  // by the device
  bool raised_ NACRE_GUARDED_BY(intx_mutex_) = false;    // on the line
  bool intx_off_ NACRE_GUARDED_BY(intx_mutex_) = false;  // Interrupt Disable, or MSI-X is on
};

}  // namespace nacre::pci
