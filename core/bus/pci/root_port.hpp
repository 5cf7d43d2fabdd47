// A PCI Express root port with one slot below it, whose device comes and goes while the guest runs: native hot-plug
// (PCIe 5.0 §6.7, registers §7.5.3.9 to §7.5.3.11).
#pragma once

#include <functional>
#include <string>

#include "core/bus/pci/bus.hpp"
#include "core/bus/pci/function.hpp"

namespace nacre {
struct Timer;
}

namespace nacre::pci {

class PciHost;

class RootPort : public PciFunction {
 public:
  struct Options {
    uint16_t vendor = 0, device = 0;
    uint8_t revision = 0;
    uint8_t port = 0;          // the port's number
    bool fast_unplug = false;  // a request shows a presence change too, so that the guest asks no five seconds for it
    AddressSpace* memory = nullptr;  // for leave_remains(); outlives the port
  };

  // `id` is the name of the bus below. `messages` may be NULL in tests.
  ~RootPort() override;
  static Result<std::unique_ptr<RootPort>> create(const std::string& id, std::string name, const Options& options,
                                                  PciHost& host);

  PciBus* secondary() override { return &below_; }
  bool is_port() const override { return true; }
  bool link_up() const override { return present_; }
  void placed(uint8_t devfn) override;
  void child_came(bool hot) override;
  void child_went() override;
  void write_config(uint32_t offset, uint32_t width, uint32_t value) override;
  void reset() override;

  // Who is told, under the host's lock and on any thread, that the guest has switched the slot off: what is below the
  // port is to be unplugged soon. The slot shows it as gone already.
  void on_power_off(std::function<void()> off) { off_ = std::move(off); }

  enum class Asked { Asked, Off };
  // [main, host locked] Presses the attention button for the device to be removed. Off: the guest has switched the slot
  // off before, and nobody need be asked. Fails while the guest is busy with the slot, or has not answered the last
  // request: by blinking, by a slot that is on and lit, which keeps the device, or by one that is off.
  Result<Asked> request_unplug();
  // [main, host locked] What is below is not there any more, whatever the guest does with it: a surprise removal
  // (§6.7.3.3). It is to be unplugged now.
  void surprise();
  // [main, host locked] After that: memory reads of what was below give zeroes instead of all ones, until the guest
  // switches the slot off or opens other windows. What a root complex returns for a read that nobody answers is its own
  // affair (§2.3.2); drivers of virtio reset a device that is gone, and wait for a status of 0 for ever (virtio 1.2
  // §4.1.4.3.2).
  void leave_remains();
  // [main, host locked] Fails while a device cannot come in because the guest is busy with the slot.
  Status may_plug();

 private:
  RootPort(const std::string& id, std::string name, const Options& options, PciHost& host);
  Status build();
  uint32_t slot_control() const { return express_ + 0x18; }
  uint32_t slot_status() const { return express_ + 0x1a; }
  uint32_t link_status() const { return express_ + 0x12; }
  bool busy();
  bool is_off(uint16_t control) const;
  void clear_remains();
  void show_presence(bool present);
  void change_presence(bool present);
  void show_waiting();           // [main, host locked] if it may be shown yet
  void settled();                // [main]
  uint64_t settling_ns() const;  // until a card may be shown
  void signal();

  PciHost& host_;
  const Options options_;
  PciBus below_;
  Timer* const settle_;
  uint32_t express_ = 0;
  bool present_ = false;
  bool asked_ = false;    // a removal that the guest has not answered
  bool lost_ = false;     // a surprise after which the guest has not switched the slot off yet
  bool waiting_ = false;  // the next card is there, and not shown before that is done
  uint64_t off_at_ = 0;   // when the guest has switched the slot off; 0: never
  bool signal_ = false;   // an enabled event is there
  std::function<void()> off_;
  std::vector<Range> gone_;          // memory of what was taken away by surprise
  std::vector<BusRegion*> remains_;  // what reads as zeroes there
};

}  // namespace nacre::pci
