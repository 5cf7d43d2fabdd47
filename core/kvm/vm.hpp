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

// Functions are callable on any thread unless they say otherwise: KVM does the locking.
class Vm {
 public:
  static Result<Vm> create(const Kvm& kvm);

  int fd() const { return fd_.get(); }
  int check_extension(int capability) const;

  // Backs [gpa, gpa + length) with host memory at `hva`, which must stay mapped as long; all multiples of 4096. Length
  // 0 removes the slot. Flags are KVM_MEM_*, KVM_MEM_READONLY among them.
  Status set_memory_slot(uint32_t slot, uint64_t gpa, uint64_t length, void* hva, uint32_t flags = 0);

  // Before the first vCPU: three pages and one page that the processor needs, out of the guest's way (x86).
  Status set_tss_address(uint64_t gpa);
  Status set_identity_map_address(uint64_t gpa);
  // Before the first vCPU: PIC, IOAPIC and local APICs in the kernel.
  Status create_irqchip();
  // After create_irqchip(): an 8254 in the kernel, with a dummy speaker at port 0x61.
  Status create_pit();
  // Puts the interrupt controllers, just made, into the state in which firmware leaves them, and remembers them and the
  // PIT ...
  Status save_chips();
  // ... and puts them back into that state, for a reset; vCPUs not running.
  Status restore_chips();

  // Sets the level of an interrupt line.
  Status set_irq_line(uint32_t gsi, bool level);
  // Sends a message-signalled interrupt. Fails when the guest blocks it or no processor takes it.
  Status signal_msi(uint64_t address, uint32_t data);
  // From now on each signal of `fd` raises an edge on `gsi`; with `resample_fd` the line stays up until the guest's end
  // of interrupt, which signals that descriptor. The descriptors stay the caller's.
  Status add_irqfd(uint32_t gsi, int fd, int resample_fd = -1);
  Status remove_irqfd(uint32_t gsi, int fd);
  // Replaces the routing of all GSIs.
  Status set_gsi_routing(const std::vector<kvm_irq_routing_entry>& entries);

  // From now on the guest's write signals `fd` and makes no exit.
  Status add_ioeventfd(const IoEvent& event, int fd);
  Status remove_ioeventfd(const IoEvent& event, int fd);

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
