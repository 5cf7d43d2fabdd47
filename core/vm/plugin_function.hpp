// A PCI function that a plugin makes by nacre.pci/1: what it says is checked, and what it hears comes with its name on
// the crash line.
#pragma once

#include <nacre/abi/pci.h>

#include <atomic>
#include <bitset>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/log_limit.hpp"
#include "core/bus/pci/host.hpp"
#include "core/vm/bar_memory.hpp"

namespace nacre {

// [main] where nothing else is said. What is added to it is added before it is plugged in; every failure is a sentence.
class PluginFunction : public pci::PciFunction {
 public:
  // Who made it. The strings are copied.
  struct Maker {
    std::string plugin, instance;   // ids
    std::string name;               // begins sentences about the function
    EventLoop* loop;                // that `reset` is called on,
    void (*reset)(void*) noexcept;  // or NULL,
    void* const* device;            // with what this points to
    nacre_instance* owner;          // not looked into here
  };

  static Result<std::unique_ptr<PluginFunction>> create(pci::PciHost& host, BarSlots& slots, Maker maker,
                                                        const nacre_pci_desc& desc, void* self);
  ~PluginFunction() override = default;

  Status add_plugin_bar(const nacre_pci_bar& bar);
  Status add_memory(const nacre_pci_memory& memory);
  // The eventfd is the function's.
  Result<int> add_event(uint32_t bar, uint64_t offset, uint32_t width, std::optional<uint64_t> match);
  // Returns its offset.
  Result<uint32_t> add_plugin_capability(const nacre_pci_capability& capability);
  Status add_plugin_msix(uint32_t bar, uint32_t vectors);
  // The eventfd is the function's.
  Result<int> vector_fd(uint32_t vector);

  nacre_instance* instance() const { return maker_.owner; }
  // [any] NACRE_PCI_BUS_MASTER and so on.
  uint32_t state() const { return state_.load(std::memory_order_acquire); }
  // [main, loop, and inside the plugin's callbacks] False for bytes that are not the plugin's to touch.
  bool read_bytes(uint32_t offset, void* to, uint32_t length);
  bool write_bytes(uint32_t offset, const void* from, uint32_t length);

  void write_config(uint32_t offset, uint32_t width, uint32_t value) override;
  void reset() override;
  bool moves_ranges(uint32_t offset) const override;
  const std::string& owner() const override { return owner_; }
  void bar_moved(uint32_t index, std::optional<uint64_t> base) override;

 private:
  struct Event {
    uint32_t bar;
    uint64_t offset;
    kvm::IoEvent event;  // its address follows the BAR
    Fd fd;
    bool tied = false;
  };

  PluginFunction(pci::PciHost& host, BarSlots& slots, Maker maker, const nacre_pci_desc& desc, void* self);
  Status may_add() const;
  bool starts_reset(uint32_t offset, uint32_t width, uint32_t value) const;
  void note_state();
  void tell(uint32_t offset, uint32_t width);

  pci::PciHost& host_;
  BarSlots& slots_;
  const Maker maker_;
  const std::string owner_;
  nacre_pci_ops ops_{};
  void* self_;
  uint32_t express_ = 0;                       // where that capability is
  std::bitset<pci::ConfigSpace::kBytes> own_;  // bytes that the plugin may write
  std::atomic<uint32_t> state_{0};
  std::vector<std::unique_ptr<BarMemory>> memories_;
  std::vector<std::unique_ptr<Event>> events_;
  log::Limit untied_;  // events, as often as the guest moves a BAR
  std::map<uint32_t, std::unique_ptr<pci::VectorFd>> vector_fds_;
};

}  // namespace nacre
