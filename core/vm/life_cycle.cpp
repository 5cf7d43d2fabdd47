#include "core/vm/life_cycle.hpp"

#include "core/base/log.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {
namespace {
constexpr std::chrono::seconds kPausePatience{2};
}

const char* to_string(RunState state) {
  switch (state) {
    case RunState::Running:
      return "running";
    case RunState::Prelaunch:
    case RunState::Paused:
      return "paused";
    case RunState::InternalError:
      return "internal-error";
    case RunState::Shutdown:
      return "shutdown";
  }
  return "";
}

void LifeCycle::start(bool paused) {
  state_ = paused ? RunState::Paused : RunState::Running;
  if (!paused) vm_.platform().resume();
}

Status LifeCycle::stop() {
  if (!vm_.has_platform()) return fail("this program runs no machine (-machine none).");
  if (state_ != RunState::Running) return fail("The VM is not running: it is {}.", to_string(state_));
  if (!vm_.platform().pause(kPausePatience)) {
    if (!reset_waits_) vm_.platform().resume();
    return fail("a vCPU resets a device and waits for {}; the guest runs on, try again when it is there.",
                vm_.disks().unanswered());
  }
  // A guest that ended itself while it was being paused is not paused.
  if (state_ == RunState::Running) {
    state_ = RunState::Paused;
    if (events_) events_->stopped();
  }
  return {};
}

Status LifeCycle::cont() {
  if (!vm_.has_platform()) return fail("this program runs no machine (-machine none).");
  if (state_ != RunState::Paused && state_ != RunState::Prelaunch)
    return fail("The VM is not paused: it is {}.{}", to_string(state_),
                state_ == RunState::InternalError ? " Use system_reset first." : "");
  if (Status booted = vm_.boot(); !booted) return booted;
  state_ = RunState::Running;
  if (events_) events_->resumed();
  if (!reset_waits_) vm_.platform().resume();
  return {};
}

Status LifeCycle::reset(bool by_guest) {
  if (state_ == RunState::Shutdown || !vm_.has_platform()) return fail("there is no running machine to reset.");
  // From here on the guest stands still. Only a vCPU that waits for a disk itself is waited for below.
  (void)vm_.platform().pause(kPausePatience);
  // What is under way at the host would be waited for. It is so without the main loop, and the guest is reset then.
  const bool settled = vm_.devices().hold(
      [this, by_guest] { vm_.loop().post_alone([this, by_guest] { (void)(reset_waits_ && reset(by_guest)); }); });
  if (!settled) {
    if (!std::exchange(reset_waits_, true)) log::warn("vm", "the reset waits for {}.", vm_.disks().unanswered());
    return {};
  }
  reset_waits_ = false;
  bool resume = state_ == RunState::Running;
  vm_.platform().pause();
  // What vCPUs have told of until now is of the run that ends here.
  ++run_;
  reset_requested_ = false;
  Status done = vm_.reset();
  vm_.devices().go_on();
  if (!done) {
    log::error("vm", "the reset failed: {}", done.error().message);
    state_ = RunState::InternalError;
    return done;
  }
  if (state_ == RunState::InternalError) state_ = RunState::Paused;
  if (events_) events_->was_reset(by_guest);
  if (resume) vm_.platform().resume();
  return {};
}

void LifeCycle::power_down() {
  if (events_) events_->powered_down();
  if (!vm_.devices().press_power_button()) shut_down(false, "host-qmp-system-powerdown");
}

void LifeCycle::shut_down(bool by_guest, const std::string& reason) {
  if (state_ == RunState::Shutdown) return;
  state_ = RunState::Shutdown;
  if (vm_.has_platform()) vm_.platform().vcpus().request_pause();
  log::info("vm", "shut down: {}", reason);
  if (events_) events_->shut_down(by_guest, reason);
  vm_.loop().stop();
}

void LifeCycle::request_shutdown() {
  vm_.loop().post([this] { shut_down(true, "guest-shutdown"); });
}

void LifeCycle::request_reset() {
  if (reset_requested_.exchange(true)) return;
  vm_.loop().post_alone([this] {
    // What fails has been logged; a reset by the guest has nobody to answer to.
    if (reset_requested_) (void)reset(true);
  });
}

// A guest that has asked for a reset and still runs tries other ways to it, this one among them.
void LifeCycle::triple_fault() {
  if (reset_requested_) return;
  vm_.loop().post([this, run = run_.load()] {
    if (run != run_) return;
    log::info("vm", "the guest's processor has shut itself down (triple fault)");
    shut_down(true, "guest-shutdown");
  });
}

void LifeCycle::vcpu_failed(const kvm::Report& report) {
  log::error("kvm", "{}", report.text);
  vm_.loop().post([this, run = run_.load()] {
    if (run != run_ || state_ != RunState::Running) return;
    vm_.platform().vcpus().request_pause();
    state_ = RunState::InternalError;
    if (events_) events_->stopped();
  });
}

}  // namespace nacre
