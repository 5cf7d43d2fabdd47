// microvm: the smallest machine that a stock Linux kernel boots on. RAM, the interrupt controllers and the timer that
// KVM has, virtio-mmio slots, and on demand a serial port; nothing that a kernel would probe or wait for in vain.
#include <nacre/machine.hpp>
#include <optional>
#include <string>

#include "machines/common/acpi.hpp"
#include "machines/common/mp_table.hpp"
#include "machines/common/reset_vector.hpp"
#include "machines/common/x86_boot.hpp"
#include "machines/microvm/keyboard_port.hpp"
#include "machines/microvm/slots.hpp"

namespace nacre::microvm {
namespace {

using machine::BootFile;
using machine::KernelImage;
using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Result;
using sdk::Status;

// Guest-physical addresses, beside those of the slots.
constexpr uint64_t kGap = 0xc0000000;  // RAM that does not fit below goes on at 4 GiB
constexpr uint64_t kIdentityMapPage = 0xfef0c000;
constexpr uint64_t kTssPages = kIdentityMapPage + 0x1000;

// Ports and lines of the machine's own devices. The power button has a line that no slot has.
constexpr uint16_t kSerialPorts = 0x3f8;
constexpr uint32_t kSerialLine = 4;
constexpr uint16_t kPowerPorts = 0x600;  // sleep control, sleep status, reset
constexpr uint16_t kResetPort = kPowerPorts + 2;
constexpr uint32_t kPowerLine = 3;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_BOOL,
     .name = "acpi",
     .help = "describe the machine by ACPI tables, beside the MP table and the "
             "kernel command line",
     .default_text = "on"},
};

// The memory as it is during one call.
class HeldMemory {
 public:
  explicit HeldMemory(nacre_instance* instance) : instance_(instance), view_(host.memory->acquire(instance)) {}
  ~HeldMemory() { host.memory->release(instance_, view_); }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;
  sdk::MemoryView view() const { return sdk::MemoryView(view_); }

 private:
  nacre_instance* instance_;
  const nacre_memory_view* view_;
};

class Microvm : public sdk::Machine {
 public:
  Microvm(nacre_instance* instance, const nacre_machine_config& config)
      : Machine(instance, config),
        acpi_(flag("acpi")),
        ram_(machine::RamLayout::split(config.ram_size, kGap)),
        slots_(acpi_ ? kSlots : kIsaSlots) {}

  Status layout(nacre_error* slot) override {
    // First what the user may have got wrong.
    if (Status opened = open_files(); !opened) return opened;
    if (Result<KernelImage> image = machine::inspect_kernel(kernel_, ram_); !image) return image.error();

    if (Status added = add_ram(0, ram_.low_end, slot); !added) return added;
    if (ram_.has_high())
      if (Status added = add_ram(4 * machine::kGiB, ram_.high_end - 4 * machine::kGiB, slot); !added) return added;
    nacre_x86_platform platform{};
    platform.size = sizeof platform;
    platform.irqchip = NACRE_IRQCHIP_FULL;
    platform.tss_address = kTssPages;
    platform.identity_map_address = kIdentityMapPage;
    platform.pit = 1;  // with the port 0x61 that goes with it
    return ErrorSlot::wrap(slot, "the interrupt controllers cannot be made", [&](nacre_error* error) {
      return host.machine->x86_platform(instance(), &platform, error);
    });
  }

  Status build(nacre_error* slot) override {
    Status made = ErrorSlot::wrap(slot, "the virtio-mmio slots cannot be made", [&](nacre_error* error) {
      return host.machine->virtio_mmio_window(instance(), kSlotsBase, kSlotStride, kSlots, error);
    });
    for (uint32_t number = 0; made && number < kReplaceableSlots; ++number) made = offer_slot(number, slot);
    if (made) made = keyboard_port_.claim(instance(), slot);
    if (made && config().serial_chardev)
      made = add_device("isa-serial", "machine-serial",
                        "chardev=" + std::string(config().serial_chardev) + ",iobase=" + machine::hex(kSerialPorts) +
                            ",irq=" + std::to_string(kSerialLine),
                        slot);
    if (made && acpi_)
      made = add_device("acpi-power", "machine-power",
                        "iobase=" + machine::hex(kPowerPorts) + ",irq=" + std::to_string(kPowerLine), slot);
    return made;
  }

  Status place(const nacre_device_desc& device, nacre_placement& placement) override {
    return slots_.place(device, placement);
  }
  void displace(const nacre_placement& placement) override { slots_.displace(placement); }

  Status boot(nacre_error* slot) override {
    // Looked at afresh: the file may have been cut short since.
    Result<KernelImage> image = machine::inspect_kernel(kernel_, ram_);
    if (!image) return image.error();
    const HeldMemory held(instance());
    const sdk::MemoryView memory = held.view();
    Result<machine::LoadedInitrd> initrd =
        machine::load_kernel(*image, kernel_, initrd_, ram_, memory, /*ram_is_zero=*/!std::exchange(booted_, true),
                             [&](uint64_t gpa, int fd, uint64_t offset, uint64_t length) {
                               return ErrorSlot::wrap(slot, "the host gave no reason.", [&](nacre_error* error) {
                                 return host.machine->load_file(instance(), gpa, fd, offset, length, error);
                               });
                             });
    if (!initrd) return initrd.error();

    const std::string command_line = config().append + slots_.command_line();
    machine::BootInfo info{.command_line = command_line, .initrd = *initrd, .ram = ram_};
    if (Status written = machine::write_mp_table(config().vcpus, memory); !written) return written;
    const auto reset_port = acpi_ ? std::optional<uint16_t>(kResetPort) : std::nullopt;
    if (Status written = machine::write_reset_vector(reset_port, memory); !written) return written;
    if (acpi_) {
      Result<uint64_t> rsdp = machine::write_acpi(describe(), memory);
      if (!rsdp) return rsdp.error();
      info.acpi_rsdp = *rsdp;
    }
    Result<nacre_x86_state> state = machine::prepare_boot(*image, info, memory);
    if (!state) return state.error();
    return ErrorSlot::wrap(slot, "the first vCPU's state cannot be set",
                           [&](nacre_error* error) { return host.vcpu->set_x86_state(instance(), 0, &*state, error); });
  }

 private:
  Status open_files() {
    if (!config().kernel)
      return fail("kernel file is required for microvm machine type, which is not provided; give one with -kernel.");
    Result<BootFile> kernel = BootFile::open(config().kernel, "kernel");
    if (!kernel) return kernel.error();
    kernel_ = std::move(*kernel);
    if (!config().initrd) return {};
    Result<BootFile> initrd = BootFile::open(config().initrd, "initrd");
    if (!initrd) return initrd.error();
    initrd_ = std::move(*initrd);
    return {};
  }

  Status add_ram(uint64_t gpa, uint64_t length, nacre_error* slot) {
    return ErrorSlot::wrap(slot, "the memory cannot be placed",
                           [&](nacre_error* error) { return host.machine->add_ram(instance(), gpa, length, error); });
  }

  Status add_device(const char* driver, const char* id, const std::string& properties, nacre_error* slot) {
    return ErrorSlot::wrap(slot, "one of the machine's own devices cannot be made", [&](nacre_error* error) {
      return host.machine->device(instance(), driver, id, properties.c_str(), error);
    });
  }

  // Without the plugin of its driver the slot does not exist: nothing could come into it either.
  Status offer_slot(uint32_t number, nacre_error* slot) {
    nacre_status code = NACRE_OK;
    Status made = ErrorSlot::wrap(slot, "a slot cannot be made", [&](nacre_error* error) {
      return code = host.machine->replaceable_slot(instance(), Slots::base(number), Slots::line(number),
                                                   number < kDiskSlots ? kDiskDriver : kNicDriver, error);
    });
    if (code == NACRE_NOT_FOUND) return {};
    if (made) slots_.offer(number);
    return made;
  }

  machine::AcpiMachine describe() const {
    machine::AcpiMachine description;
    description.vcpus = config().vcpus;
    description.power = {kPowerPorts, kPowerPorts + 1, kResetPort, kPowerLine};
    if (config().serial_chardev) description.serial = {kSerialPorts, kSerialLine};
    for (uint32_t slot = 0; slot < kSlots; ++slot)
      if (slots_.shown(slot)) description.virtio.push_back({slot, Slots::base(slot), Slots::line(slot)});
    return description;
  }

  const bool acpi_;
  const machine::RamLayout ram_;
  Slots slots_;
  KeyboardPort keyboard_port_;
  BootFile kernel_;
  BootFile initrd_;
  bool booted_ = false;
};

constexpr nacre_type kType =
    sdk::machine_type<Microvm>("microvm", "a small machine with direct kernel boot and virtio-mmio devices", kProps);

}  // namespace
}  // namespace nacre::microvm

NACRE_PLUGIN(&nacre::microvm::kType);
