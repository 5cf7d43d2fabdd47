#include "machines/common/direct_boot.hpp"

#include <utility>

#include "machines/common/mp_table.hpp"
#include "machines/common/reset_vector.hpp"

namespace nacre::machine {
namespace {

using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Result;
using sdk::Status;

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

}  // namespace

Status DirectBoot::open(const nacre_machine_config& config, const RamLayout& ram, const std::string& machine_name) {
  absent_ = !config.kernel && (config.flags & NACRE_MACHINE_NO_VCPUS);
  if (absent_) return {};
  if (!config.kernel)
    return fail("kernel file is required for ", machine_name,
                " machine type, which is not provided; give one with -kernel.");
  Result<BootFile> kernel = BootFile::open(config.kernel, "kernel");
  if (!kernel) return kernel.error();
  kernel_ = std::move(*kernel);
  if (config.initrd) {
    Result<BootFile> initrd = BootFile::open(config.initrd, "initrd");
    if (!initrd) return initrd.error();
    initrd_ = std::move(*initrd);
  }
  if (Result<KernelImage> image = inspect_kernel(kernel_, ram); !image) return image.error();
  memory_was_used_ = (config.ram->flags & NACRE_RAM_HAS_CONTENT) != 0;
  return {};
}

Status DirectBoot::boot(nacre_instance* machine, const DirectBootPlan& plan, nacre_error* slot) {
  if (absent_) return {};
  // Looked at afresh: the file may have been cut short since.
  Result<KernelImage> image = inspect_kernel(kernel_, plan.ram);
  if (!image) return image.error();
  const HeldMemory held(machine);
  const sdk::MemoryView memory = held.view();
  Result<LoadedInitrd> initrd =
      load_kernel(*image, kernel_, initrd_, plan.ram, memory, /*ram_is_zero=*/!std::exchange(memory_was_used_, true),
                  [&](uint64_t gpa, int fd, uint64_t offset, uint64_t length) {
                    return ErrorSlot::wrap(slot, "the host gave no reason.", [&](nacre_error* error) {
                      return host.machine->load_file(machine, gpa, fd, offset, length, error);
                    });
                  });
  if (!initrd) return initrd.error();

  BootInfo info{.command_line = plan.command_line, .initrd = *initrd, .ram = plan.ram};
  info.reserved = plan.reserved;
  if (Status written = write_mp_table(plan.vcpus, memory); !written) return written;
  if (Status written = write_reset_vector(plan.reset_port, memory); !written) return written;
  if (plan.write_acpi) {
    Result<uint64_t> rsdp = plan.write_acpi(memory);
    if (!rsdp) return rsdp.error();
    info.acpi_rsdp = *rsdp;
  }
  if (plan.smbios)
    if (Status written = write_smbios(*plan.smbios, memory); !written) return written;
  Result<nacre_x86_state> state = prepare_boot(*image, info, memory);
  if (!state) return state.error();
  return ErrorSlot::wrap(slot, "the first vCPU's state cannot be set",
                         [&](nacre_error* error) { return host.vcpu->set_x86_state(machine, 0, &*state, error); });
}

}  // namespace nacre::machine
