// The machine type in use: its plugin, asked in the order of <nacre/abi/machine.h>.
#pragma once

#include <memory>
#include <string>

#include "core/vm/devices.hpp"

namespace nacre {

struct MachineOptions {
  std::string type = "microvm";
  Devices::Properties properties;  // those of the type's own table
  uint32_t vcpus = 1;
  uint32_t max_vcpus = 1;
  uint64_t ram_size = 0;
  std::string kernel, initrd, append;  // empty when not given
  std::string serial_chardev;
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
  Status layout();
  Status build();
  // Chooses a place for the device, and plugs it in there when that is a slot of the host's.
  // `hot`: while the guest runs.
  Status place(nacre_instance& device, bool hot);
  void displace(nacre_instance& device);
  // Describes, loads, sets the first vCPU.
  Status boot();

 private:
  Machine(VirtualMachine& vm, MachineOptions options) : vm_(vm), options_(std::move(options)) {}
  Status plug(nacre_instance& device);
  Status plug_into_pci(nacre_instance& device, bool hot);
  using Step = nacre_status (*)(void*, nacre_error*) noexcept;
  Status step(const char* name, Step function);

  VirtualMachine& vm_;
  MachineOptions options_;
  nacre_machine_config config_{};
  nacre_machine_ops ops_{};
  std::unique_ptr<nacre_instance> instance_;
};

}  // namespace nacre
