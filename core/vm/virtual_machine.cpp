#include "core/vm/virtual_machine.hpp"

#include "core/plugin/breadcrumb.hpp"

namespace nacre {

VirtualMachine::~VirtualMachine() {
  tear_down();
}

Status VirtualMachine::build(const PlatformOptions& platform, const MachineOptions& machine) {
  // The machine's plugin first: a wrong name is told before KVM is opened.
  Result<std::unique_ptr<Machine>> made = Machine::create(*this, registry_, machine);
  if (!made) return made.error();
  machine_ = std::move(*made);
  Result<std::unique_ptr<Platform>> ground = Platform::create(platform, loop_, life_cycle_);
  if (!ground) return ground.error();
  platform_ = std::move(*ground);
  if (Status laid_out = machine_->layout(); !laid_out) return laid_out;
  if (Status created = platform_->create_vcpus(); !created) return created;
  return machine_->build();
}

void VirtualMachine::tear_down() {
  if (platform_) platform_->stop_vcpus();
  replaceable_slots_.close();
  devices_.clear();
  machine_.reset();
  platform_.reset();
}

Status VirtualMachine::reset() {
  if (Status done = platform_->reset(); !done) return done;
  devices_.reset();
  return machine_->boot();
}

Status VirtualMachine::add_iothread(const std::string& id) {
  Result<std::unique_ptr<IoThread>> thread = IoThread::start(id);
  if (!thread) return thread.error();
  (*thread)->loop().post([] { (void)crash::prepare_thread(); });
  iothreads_.emplace(id, std::move(*thread));
  return {};
}

}  // namespace nacre
