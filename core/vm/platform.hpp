// What every machine stands on: the KVM virtual machine with its memory, buses and vCPUs. Knows no address and no
// device.
#pragma once

#include <nacre/abi/machine.h>
#include <nacre/abi/vcpu.h>

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/bus/address_space.hpp"
#include "core/kvm/exit_handler.hpp"
#include "core/kvm/vcpu_group.hpp"
#include "core/kvm/vm.hpp"
#include "core/kvm/x86_64/cpu_features.hpp"
#include "core/kvm/x86_64/cpuid.hpp"
#include "core/kvm/x86_64/reset.hpp"
#include "core/loop/event_loop.hpp"
#include "core/memory/guest_memory.hpp"
#include "core/virtio/mmio_window.hpp"
#include "core/vm/pci_tree.hpp"
#include "core/vm/qtest/test_vm.hpp"

namespace nacre {

// Told about what the guest does to itself, on a vCPU's thread.
class GuestEvents {
 public:
  virtual ~GuestEvents() = default;
  virtual void triple_fault() = 0;
  virtual void vcpu_failed(const kvm::Report& report) = 0;
};

// What runs the vCPUs. Test: there are none, and who drives the machine is a test; no KVM is needed, and the whole
// process has virtual time.
enum class AcceleratorKind { Kvm, Test };

struct PlatformOptions {
  AcceleratorKind accelerator = AcceleratorKind::Kvm;
  bool bridges_pass_all = false;  // see pci::HostLayout
  std::vector<MemoryPart> ram;    // in the order of guest-physical addresses
  uint32_t vcpus = 1;             // at the start
  uint32_t max_vcpus = 1;         // indices are below this
  kvm::CpuTopology topology;
  kvm::FeatureChanges cpu_features;
};

// Made and used on the main thread; exits come on the vCPUs' threads.
class Platform : public kvm::ExitHandler {
 public:
  // Opens KVM and reserves the memory. `loop` is the main thread's.
  static Result<std::unique_ptr<Platform>> create(const PlatformOptions& options, EventLoop& loop, GuestEvents& events);
  ~Platform() override;

  // What a machine asks for while it lays itself out.
  Status add_ram(uint64_t gpa, uint64_t length);
  Status set_up_x86(const nacre_x86_platform& platform);
  Status add_virtio_window(uint64_t base, uint32_t stride, uint32_t slots);
  virtio::MmioTransport* virtio_slot(uint64_t base);
  Status add_pci(const nacre_pci_host& wanted);
  // The PCI buses, or NULL on a machine without.
  PciTree* pci() { return pci_.get(); }
  // Whether vCPU `index` is one of the machine's.
  bool has_vcpu(uint32_t index) const { return test_vm_ ? imagined_.contains(index) : vcpus_->is_in(index); }
  // Its thread's id; that of the main thread where it has none.
  pid_t vcpu_thread_id(uint32_t index) const;
  // Lets one vCPU run that has come while the others do.
  void resume_vcpu(uint32_t index) {
    if (!test_vm_) vcpus_->resume(index);
  }
  // Makes the vCPUs, parked, once the machine is laid out.
  Status create_vcpus();
  // Makes vCPU `index`, or takes it from those that were unplugged; it is parked and waits for INIT and SIPI. The
  // others run on. Fails when it is in already.
  Status plug_vcpu(uint32_t index);
  // Ends its thread; posted calls are served meanwhile. Until plug_vcpu() it is none of the machine's.
  void unplug_vcpu(uint32_t index);

  // An interrupt line taken by one device. Fails when it does not exist or is taken.
  Status take_line(uint32_t gsi);
  void give_line_back(uint32_t gsi) { lines_.erase(gsi); }

  // A memory slot of KVM for one range that a device maps.
  uint32_t take_memslot();
  void give_memslot_back(uint32_t slot) { free_memslots_.push_back(slot); }

  kvm::Vm& vm() { return *vm_; }
  // What vm() is on a machine without vCPUs, else NULL.
  qtest::TestVm* test_vm() { return test_vm_; }
  GuestMemory& memory() { return *memory_; }
  AddressSpace& space(uint32_t kind) { return kind == NACRE_SPACE_PIO ? *pio_ : *mmio_; }
  kvm::VcpuGroup& vcpus() { return *vcpus_; }
  uint32_t max_vcpus() const { return options_.max_vcpus; }
  uint32_t vcpus_at_start() const { return options_.vcpus; }
  const kvm::CpuTopology& topology() const { return options_.topology; }

  // Parks all vCPUs and waits until they are; posted calls are served meanwhile. False when the time is over first.
  bool pause(std::chrono::nanoseconds timeout = EventLoop::kForever);
  void resume() { vcpus_->resume(); }
  // With the vCPUs parked: interrupt controllers, vCPUs, virtio devices and PCI functions as at power-on.
  Status reset();
  // Sets the state in which vCPU `index` begins.
  Status set_vcpu_state(uint32_t index, const nacre_x86_state& state);
  // Ends the vCPU threads; nothing of the guest runs afterwards.
  void stop_vcpus();

 private:
  Platform(PlatformOptions options, EventLoop& loop, GuestEvents& events)
      : options_(std::move(options)), loop_(loop), events_(events) {}

  uint64_t mmio_read(uint32_t vcpu, uint64_t gpa, uint32_t width) override;
  void mmio_write(uint32_t vcpu, uint64_t gpa, uint32_t width, uint64_t value) override;
  uint64_t pio_read(uint32_t vcpu, uint16_t port, uint32_t width) override;
  void pio_write(uint32_t vcpu, uint16_t port, uint32_t width, uint64_t value) override;
  void shutdown(uint32_t) override { events_.triple_fault(); }
  void system_event(uint32_t, uint32_t, uint64_t) override { events_.triple_fault(); }
  void internal_error(const kvm::Report& report) override { events_.vcpu_failed(report); }

  const PlatformOptions options_;
  EventLoop& loop_;
  GuestEvents& events_;
  std::unique_ptr<kvm::Kvm> kvm_;
  std::unique_ptr<kvm::Vm> vm_;
  qtest::TestVm* test_vm_ = nullptr;  // what vm_ is, or NULL; there is no kvm_ then
  std::set<uint32_t> imagined_;       // with test_vm_: the vCPUs that the machine would have
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<AddressSpace> mmio_;
  std::unique_ptr<AddressSpace> pio_;
  std::unique_ptr<kvm::VcpuGroup> vcpus_;
  Status open_accelerator();
  Status create_vcpu(uint32_t index);
  kvm::Waiter waiter() const;

  std::vector<kvm_cpuid_entry2> supported_cpuid_;
  std::map<uint32_t, std::unique_ptr<kvm::Vcpu>> begun_;  // and not given to vcpus_ yet
  std::map<uint32_t, kvm::PowerOnState> power_on_;        // of each vCPU that exists
  std::vector<std::unique_ptr<virtio::MmioWindow>> windows_;
  std::unique_ptr<PciTree> pci_;
  std::set<uint32_t> lines_;
  uint32_t next_memslot_ = 0;
  std::vector<uint32_t> free_memslots_;
};

}  // namespace nacre
