// The machine type in use: its plugin, asked in the order of <nacre/abi/machine.h>.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "core/vm/devices.hpp"
#include "core/vm/numa.hpp"
#include "core/vm/smbios_field.hpp"

namespace nacre {

struct MachineOptions {
  std::string type = "microvm";
  Devices::Properties properties;  // those of the type's own table
  uint32_t vcpus = 1;
  uint32_t max_vcpus = 1;
  uint32_t sockets = 1;
  bool no_vcpus = false;  // it is driven by a test
  uint64_t ram_size = 0;
  NumaTopology numa;
  std::string kernel, initrd, append;  // empty when not given
  std::string serial_chardev;
  std::array<std::string, 2> flash;  // ids of drives, which are there
  std::vector<SmbiosField> smbios;
};

// Main thread only, with the vCPUs not running.
class Machine {
 public:
  // Maps the plugin and makes the machine; nothing of the guest exists yet.
  static Result<std::unique_ptr<Machine>> create(VirtualMachine& vm, Registry& registry, const MachineOptions& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const nacre_instance& instance() const { return *instance_; }
  const char* type_name() const { return instance_->type->name; }
  // Whether RAM may begin as other than zeroes; known before layout().
  void set_ram_content(bool has_content) { ram_.flags = has_content ? NACRE_RAM_HAS_CONTENT : 0; }
  Status layout();
  Status build();
  // Chooses a place for the device, and plugs it in there when that is a slot of the host's.
  // `hot`: while the guest runs.
  Status place(nacre_instance& device, bool hot);
  void displace(nacre_instance& device);
  // The driver whose devices are vCPUs; NULL: they stay as they are.
  const char* cpu_driver() const { return ops_.cpu_changed ? ops_.cpu_driver : nullptr; }
  // Has the guest asked to let go of the vCPU that the device is.
  void ask_for_cpu(nacre_instance& device);
  // The guest was asked for this vCPU and has not answered yet.
  bool cpu_leaving(const nacre_instance& device) const;
  // Describes, loads, sets the first vCPU.
  Status boot();

 private:
  Machine(VirtualMachine& vm, MachineOptions options) : vm_(vm), options_(std::move(options)) {}
  Status plug(nacre_instance& device);
  Status plug_into_pci(nacre_instance& device, bool hot);
  Status plug_cpu(nacre_instance& device);
  void tell_of_cpu(uint32_t index, bool plugged);
  using Step = nacre_status (*)(void*, nacre_error*) noexcept;
  Status step(const char* name, Step function);

  VirtualMachine& vm_;
  MachineOptions options_;
  nacre_machine_config config_{};
  nacre_ram ram_{};
  std::vector<nacre_smbios_field> smbios_;  // what config_ points to
  nacre_machine_ops ops_{};
  std::unique_ptr<nacre_instance> instance_;
};

}  // namespace nacre
