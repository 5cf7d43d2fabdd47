#include "core/vm/virtual_machine.hpp"

#include <boost/json.hpp>
#include <cerrno>

#include "core/plugin/breadcrumb.hpp"
#include "core/sandbox/sandbox.hpp"

namespace nacre {

VirtualMachine::VirtualMachine(EventLoop& loop, Registry& registry)
    : loop_(loop),
      registry_(registry),
      disks_(
          [this](const std::string& id, const BlockBackend::Failure& failure) {
            loop_.post([this, id, failure] { tell_of_failure(id, failure); });
          },
          [this](const BlockOptions& options) { return open_plugin_block(*this, options); }),
      life_cycle_(*this),
      devices_(*this, registry),
      replaceable_slots_(*this) {}

void VirtualMachine::tell_of_failure(const std::string& disk, const BlockBackend::Failure& failure) {
  if (!monitor_) return;
  namespace json = boost::json;
  (void)monitor_->emit("BLOCK_IO_ERROR", json::serialize(json::object{
                                             {"device", disk},
                                             {"node-name", disk},
                                             {"operation", std::string_view(failure.what) == "read" ? "read" : "write"},
                                             {"action", "report"},
                                             {"nospace", failure.error == ENOSPC},
                                             {"reason", failure.reason()}}));
}

size_t VirtualMachine::count_instances(const std::function<bool(const nacre_instance&)>& holds) const {
  size_t count = machine_ && holds(machine_->instance()) ? 1 : 0;
  for (const auto& device : devices_.all()) count += holds(*device) ? 1 : 0;
  for (const nacre_instance* back_end : plugin_back_ends_) count += holds(*back_end) ? 1 : 0;
  return count + replaceable_slots_.count_vacant(holds);
}

void VirtualMachine::report_failure(const nacre_type* type, const std::string& reason) {
  loop_.post([this, type, reason] { registry_.report_failure(type, reason); });
}

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
  machine_->set_ram_content(platform_->memory().has_content());
  if (Status laid_out = machine_->layout(); !laid_out) return laid_out;
  if (Status created = platform_->create_vcpus(); !created) return created;
  return machine_->build();
}

Status VirtualMachine::boot() {
  if (booted_) return {};
  Status booted = machine_->boot();
  booted_ = bool(booted);
  return booted;
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
  booted_ = false;
  return boot();
}

Status VirtualMachine::add_iothread(const std::string& id) {
  Result<std::unique_ptr<IoThread>> thread = IoThread::start(id);
  if (!thread) return thread.error();
  (*thread)->loop().post([] { (void)crash::prepare_thread(); });
  iothreads_.emplace(id, std::move(*thread));
  return {};
}

Status VirtualMachine::confine() {
  sandbox::Options options;
  options.new_code = registry_.takes_new_code();
  options.extra = registry_.declared_system_calls();
  if (Status confined = sandbox::confine(options); !confined) return confined;
  for (const auto& [id, thread] : iothreads_) thread->narrow();
  return {};
}

}  // namespace nacre
