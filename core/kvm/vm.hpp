// One virtual machine of KVM: memory slots, interrupt controllers, irqfds and ioeventfds.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/kvm/kvm.hpp"

namespace nacre::kvm {

// A guest write that signals an eventfd inside the kernel.
struct IoEvent {
  bool pio = false;
  uint64_t address = 0;
  uint32_t length = 0;              // 1, 2, 4 or 8 bytes; 0: any width (no match then)
  std::optional<uint64_t> match{};  // only writes of exactly this value
};

// The routes that KVM gives the lines of the PIC and the IOAPIC in the kernel: GSIs 0 to 23 to the IOAPIC's pins, and
// the first 16 to the PIC's too. A table for set_gsi_routing() begins with them, or the lines are dead.
std::vector<kvm_irq_routing_entry> line_routes();

// Functions are callable on any thread unless they say otherwise: KVM does the locking. They are virtual for the one
// machine that has no KVM, a test's (core/vm/qtest/test_vm.hpp).
class Vm {
 public:
  static Result<Vm> create(const Kvm& kvm);
  virtual ~Vm() = default;
  Vm(Vm&&) = default;

  int fd() const { return fd_.get(); }
  virtual int check_extension(int capability) const;

  // Backs [gpa, gpa + length) with host memory at `hva`, which must stay mapped as long; all multiples of 4096. Length
  // 0 removes the slot. Flags are KVM_MEM_*, KVM_MEM_READONLY among them.
  virtual Status set_memory_slot(uint32_t slot, uint64_t gpa, uint64_t length, void* hva, uint32_t flags = 0);

  // Before the first vCPU: three pages and one page that the processor needs, out of the guest's way (x86).
  virtual Status set_tss_address(uint64_t gpa);
  virtual Status set_identity_map_address(uint64_t gpa);
  // Before the first vCPU: PIC, IOAPIC and local APICs in the kernel.
  virtual Status create_irqchip();
  // After create_irqchip(): an 8254 in the kernel, with a dummy speaker at port 0x61.
  virtual Status create_pit();
  // Puts the interrupt controllers, just made, into the state in which firmware leaves them, and remembers them and the
  // PIT ...
  virtual Status save_chips();
  // ... and puts them back into that state, for a reset; vCPUs not running.
  virtual Status restore_chips();

  // Sets the level of an interrupt line.
  virtual Status set_irq_line(uint32_t gsi, bool level);
  // Sends a message-signalled interrupt. Fails when the guest blocks it or no processor takes it.
  virtual Status signal_msi(uint64_t address, uint32_t data);
  // From now on each signal of `fd` raises an edge on `gsi`; with `resample_fd` the line stays up until the guest's end
  // of interrupt, which signals that descriptor. The descriptors stay the caller's.
  virtual Status add_irqfd(uint32_t gsi, int fd, int resample_fd = -1);
  virtual Status remove_irqfd(uint32_t gsi, int fd);
  // Replaces the routing of all GSIs.
  virtual Status set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries);

  // From now on the guest's write signals `fd` and makes no exit.
  virtual Status add_ioeventfd(const IoEvent& event, int fd);
  virtual Status remove_ioeventfd(const IoEvent& event, int fd);

 protected:
  Vm() = default;

 private:
  struct Chips {
    kvm_irqchip chip[3];
    kvm_pit_state2 pit;
    bool has_pit;
  };

  Status ioeventfd(const IoEvent& event, int fd, uint32_t flags);

  Fd fd_;
  bool has_irqchip_ = false;
  bool has_pit_ = false;
  std::optional<Chips> chips_;
};

}  // namespace nacre::kvm
