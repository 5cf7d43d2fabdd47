#include "core/vm/platform.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/log.hpp"
#include "core/loop/clock.hpp"
#include "core/plugin/breadcrumb.hpp"

namespace nacre {
namespace {

constexpr uint32_t kLines = 24;  // pins of the IOAPIC in the kernel

}  // namespace

Result<std::unique_ptr<Platform>> Platform::create(const PlatformOptions& options, EventLoop& loop,
                                                   GuestEvents& events) {
  auto platform = std::unique_ptr<Platform>(new Platform(options, loop, events));
  if (Status opened = platform->open_accelerator(); !opened) return opened.error();
  Result<std::unique_ptr<GuestMemory>> memory = GuestMemory::create(options.ram);
  if (!memory) return memory.error();
  platform->memory_ = std::move(*memory);

  AddressSpace::Options space;
  space.readers = options.max_vcpus;
  space.vm = platform->vm_.get();
  space.waiter = [&loop](const std::function<bool()>& done) { loop.run_posted_until(done); };
  space.wake = [&loop] { loop.wake(); };
  // The host's own registers may wait for a device's loop; a plugin may not.
  space.slow = [](const SlowCall& call) {
    if (std::string_view(call.owner).starts_with("plugin")) log::warn("bus", "{}", describe(call));
  };
  space.space = NACRE_SPACE_MMIO;
  platform->mmio_ = std::make_unique<AddressSpace>(space);
  space.space = NACRE_SPACE_PIO;
  platform->pio_ = std::make_unique<AddressSpace>(space);
  platform->vcpus_ = std::make_unique<kvm::VcpuGroup>(
      *platform,
      [guest = platform->memory_.get()](uint64_t gpa, void* to, uint64_t length) {
        return guest->read(gpa, to, length);
      },
      [&loop] {
        // Every vCPU's thread comes here before it first runs: its stack for crash reports is made here.
        thread_local const bool prepared = crash::prepare_thread();
        (void)prepared;
        loop.wake();
      });
  return platform;
}

Status Platform::open_accelerator() {
  if (options_.accelerator == AcceleratorKind::Test) {
    begin_virtual_time();
    auto test = std::make_unique<qtest::TestVm>(loop_);
    test_vm_ = test.get();
    vm_ = std::move(test);
    return {};
  }
  Result<kvm::Kvm> kvm = kvm::Kvm::open();
  if (!kvm) return kvm.error();
  if (options_.max_vcpus > kvm->max_vcpus())
    return fail("-smp: {} vCPUs, but this host's KVM allows {}.", options_.max_vcpus, kvm->max_vcpus());
  Result<kvm::Vm> vm = kvm::Vm::create(*kvm);
  if (!vm) return vm.error();
  kvm_ = std::make_unique<kvm::Kvm>(std::move(*kvm));
  vm_ = std::make_unique<kvm::Vm>(std::move(*vm));
  return {};
}

Platform::~Platform() {
  stop_vcpus();
  windows_.clear();
  pci_.reset();
}

Status Platform::add_ram(uint64_t gpa, uint64_t length) {
  const size_t before = memory_->regions().size();
  if (Status placed = memory_->place(gpa, length); !placed) return placed;
  Status set;
  for (size_t i = before; set && i < memory_->regions().size(); ++i) {
    const MemoryRegion& region = memory_->regions()[i];
    set = vm_->set_memory_slot(next_memslot_++, region.gpa, region.length, region.hva);
  }
  return set;
}

Status Platform::set_up_x86(const nacre_x86_platform& platform) {
  if (platform.irqchip != NACRE_IRQCHIP_FULL)
    return fail("the machine asks for interrupt controllers of kind {}, which this VMM does not know.",
                platform.irqchip);
  if (Status set = vm_->set_tss_address(platform.tss_address); !set) return set;
  if (Status set = vm_->set_identity_map_address(platform.identity_map_address); !set) return set;
  if (Status made = vm_->create_irqchip(); !made) return made;
  if (platform.pit)
    if (Status made = vm_->create_pit(); !made) return made;
  return vm_->save_chips();
}

Status Platform::add_virtio_window(uint64_t base, uint32_t stride, uint32_t slots) {
  auto window = virtio::MmioWindow::create(vm_.get(), next_memslot_++, *mmio_, *memory_, base, stride, slots);
  if (!window) return window.error();
  windows_.push_back(std::move(*window));
  return {};
}

virtio::MmioTransport* Platform::virtio_slot(uint64_t base) {
  for (auto& window : windows_)
    if (virtio::MmioTransport* slot = window->slot_at(base)) return slot;
  return nullptr;
}

Status Platform::add_pci(const nacre_pci_host& wanted) {
  if (pci_) return fail("the machine asks for a second PCI host; it can have one.");
  for (uint32_t line = 0; line < pci::SharedLines::kLines; ++line)
    if (Status taken = take_line(wanted.first_gsi + line); !taken) return taken;
  auto tree = PciTree::create(wanted, *vm_, *mmio_, *pio_, loop_, *memory_, options_.bridges_pass_all);
  if (!tree) return tree.error();
  pci_ = std::move(*tree);
  return {};
}

Status Platform::create_vcpus() {
  if (test_vm_) {
    for (uint32_t i = 0; i < options_.vcpus; ++i) imagined_.insert(i);
    return {};
  }
  Result<std::vector<kvm_cpuid_entry2>> supported = kvm::supported_cpuid(*kvm_);
  if (!supported) return supported.error();
  supported_cpuid_ = std::move(*supported);
  for (uint32_t i = 0; i < options_.vcpus; ++i)
    if (Status created = create_vcpu(i); !created) return created;
  return {};
}

Status Platform::create_vcpu(uint32_t index) {
  // One whose beginning has failed for lack of memory is there to be begun again.
  std::unique_ptr<kvm::Vcpu>& vcpu = begun_[index];
  if (!vcpu) {
    Result<std::unique_ptr<kvm::Vcpu>> made = kvm::Vcpu::make(*kvm_, *vm_, index);
    if (!made) return made.error();
    vcpu = std::move(*made);
  }
  if (Status mapped = vcpu->map(*kvm_); !mapped) return mapped;
  const bool tsc_deadline = vm_->check_extension(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  std::vector<kvm_cpuid_entry2> cpuid = kvm::guest_cpuid(supported_cpuid_, index, options_.topology, tsc_deadline);
  if (Status changed = kvm::change_features(cpuid, options_.cpu_features); !changed) return changed;
  if (Status set = kvm::set_cpuid(*vcpu, cpuid); !set) return set;
  Result<kvm::PowerOnState> state = kvm::PowerOnState::capture(*kvm_, *vcpu);
  if (!state) return state.error();
  if (Status booted = kvm::boot_vcpu(*vcpu); !booted) return booted;
  power_on_.emplace(index, std::move(*state));
  return vcpus_->add(std::move(vcpu));
}

Status Platform::plug_vcpu(uint32_t index) {
  if (index >= options_.max_vcpus) return fail("vCPU {} is none of the machine's {}.", index, options_.max_vcpus);
  if (has_vcpu(index)) return fail("vCPU {} is there already.", index);
  if (test_vm_) {
    imagined_.insert(index);
    return {};
  }
  if (!vcpus_->has(index)) return create_vcpu(index);
  if (Status restored = power_on_.at(index).restore(vcpus_->vcpu(index), /*joining=*/true); !restored) return restored;
  return vcpus_->put_back(index);
}

void Platform::unplug_vcpu(uint32_t index) {
  imagined_.erase(index);
  vcpus_->take_out(index, waiter());
}

pid_t Platform::vcpu_thread_id(uint32_t index) const {
  return test_vm_ ? ::getpid() : vcpus_->thread_id(index);
}

kvm::Waiter Platform::waiter() const {
  return [this](const std::function<bool()>& done) { loop_.run_posted_until(done); };
}

Status Platform::take_line(uint32_t gsi) {
  if (gsi >= kLines) return fail("interrupt line {} does not exist; the machine has lines 0 to {}.", gsi, kLines - 1);
  if (!lines_.insert(gsi).second) return fail("interrupt line {} is taken by another device.", gsi);
  return {};
}

uint32_t Platform::take_memslot() {
  if (free_memslots_.empty()) return next_memslot_++;
  const uint32_t slot = free_memslots_.back();
  free_memslots_.pop_back();
  return slot;
}

bool Platform::pause(std::chrono::nanoseconds timeout) {
  vcpus_->request_pause();
  return loop_.run_posted_until([this] { return vcpus_->all_paused(); }, timeout);
}

Status Platform::reset() {
  for (auto& window : windows_) window->reset();
  if (pci_) pci_->host().reset();
  if (Status restored = vm_->restore_chips(); !restored) return restored;
  for (const auto& [index, state] : power_on_)
    if (vcpus_->is_in(index))
      if (Status restored = state.restore(vcpus_->vcpu(index)); !restored) return restored;
  return {};
}

Status Platform::set_vcpu_state(uint32_t index, const nacre_x86_state& state) {
  if (!has_vcpu(index)) return fail("vCPU {} does not exist.", index);
  if (test_vm_) return {};
  return kvm::set_state(vcpus_->vcpu(index), state);
}

void Platform::stop_vcpus() {
  if (vcpus_) vcpus_->stop_and_join(waiter());
}

uint64_t Platform::mmio_read(uint32_t vcpu, uint64_t gpa, uint32_t width) {
  return mmio_->read(vcpu, gpa, width);
}
void Platform::mmio_write(uint32_t vcpu, uint64_t gpa, uint32_t width, uint64_t value) {
  mmio_->write(vcpu, gpa, width, value);
}
uint64_t Platform::pio_read(uint32_t vcpu, uint16_t port, uint32_t width) {
  return pio_->read(vcpu, port, width);
}
void Platform::pio_write(uint32_t vcpu, uint16_t port, uint32_t width, uint64_t value) {
  pio_->write(vcpu, port, width, value);
}

}  // namespace nacre
