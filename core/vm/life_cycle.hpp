// The run state of a virtual machine, and what changes it.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "core/base/result.hpp"
#include "core/vm/platform.hpp"

namespace nacre {

class VirtualMachine;

enum class RunState { Prelaunch, Running, Paused, InternalError, Shutdown };

// As `query-status` names it.
const char* to_string(RunState state);

// What the management side wants to hear. Main thread.
class LifeCycleEvents {
 public:
  virtual ~LifeCycleEvents() = default;
  virtual void stopped() = 0;
  virtual void resumed() = 0;
  virtual void powered_down() = 0;
  virtual void was_reset(bool by_guest) = 0;
  virtual void shut_down(bool by_guest, const std::string& reason) = 0;
};

// Main thread, but for what says [any].
class LifeCycle : public GuestEvents {
 public:
  explicit LifeCycle(VirtualMachine& vm) : vm_(vm) {}

  void set_events(LifeCycleEvents* events) { events_ = events; }
  RunState state() const { return state_; }
  bool running() const { return state_ == RunState::Running; }

  // Starts the vCPUs, or leaves the machine paused as `-S` asks.
  void start(bool paused);
  // Fail when the machine is so already.
  Status stop();
  Status cont();
  // Puts the machine back to power-on and, if it was running, starts it again.
  Status reset(bool by_guest);
  // Presses the power button; a machine that has none is ended.
  void power_down();
  // Ends the machine: the main loop stops. Only the first reason counts.
  void shut_down(bool by_guest, const std::string& reason);

  // [any] From devices: what the guest has asked for. However often it asks before a reset, that is one reset.
  void request_shutdown();
  void request_reset();

 private:
  void triple_fault() override;
  void vcpu_failed(const kvm::Report& report) override;

  VirtualMachine& vm_;
  LifeCycleEvents* events_ = nullptr;
  RunState state_ = RunState::Prelaunch;
  bool reset_waits_ = false;                  // for requests at the host
  std::atomic<bool> reset_requested_{false};  // and not reset since
  std::atomic<uint32_t> run_{0};              // how often it was reset
};

}  // namespace nacre
