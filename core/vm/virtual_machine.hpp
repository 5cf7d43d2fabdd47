// A virtual machine with everything that belongs to it, in the order in which it is made and unmade.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/backend/random_sources.hpp"
#include "core/loop/io_thread.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/announcer.hpp"
#include "core/vm/balloon.hpp"
#include "core/vm/chardevs.hpp"
#include "core/vm/devices.hpp"
#include "core/vm/disks.hpp"
#include "core/vm/life_cycle.hpp"
#include "core/vm/machine.hpp"
#include "core/vm/netdevs.hpp"
#include "core/vm/passed_fds.hpp"
#include "core/vm/platform.hpp"
#include "core/vm/plugin_back_end.hpp"
#include "core/vm/replaceable_slots.hpp"

namespace nacre {

// Plugins' own commands and events go through here to whatever serves the clients.
class PluginMonitor {
 public:
  using Handler = std::function<Result<std::string>(const std::string& arguments)>;  // JSON in, JSON out
  virtual ~PluginMonitor() = default;
  // [main]
  virtual Status add_command(const std::string& name, const std::string& help, Handler handler) = 0;
  virtual void remove_command(const std::string& name) = 0;
  // [main] `data` is a JSON object.
  virtual Status emit(const std::string& event, const std::string& data) = 0;
};

// Main thread only, but for loop().
class VirtualMachine {
 public:
  VirtualMachine(EventLoop& loop, Registry& registry);
  ~VirtualMachine();
  VirtualMachine(const VirtualMachine&) = delete;
  VirtualMachine& operator=(const VirtualMachine&) = delete;

  // Builds the machine up to where the user's devices come in, and boots it when they are there.
  Status build(const PlatformOptions& platform, const MachineOptions& machine);
  // Does nothing when that has been done: a machine that starts paused is booted when it is first resumed.
  Status boot();
  // Ends the vCPUs and takes every device away.
  void tear_down();
  // [vCPUs parked]
  Status reset();

  // An iothread by id, made by `-object iothread`.
  Status add_iothread(const std::string& id);
  const std::map<std::string, std::unique_ptr<IoThread>>& iothreads() const { return iothreads_; }
  // Confines the process (core/sandbox) and gives every iothread its list. The vCPUs' threads and block workers take
  // theirs when they begin to work.
  Status confine();

  EventLoop& loop() { return loop_; }
  Registry& registry() { return registry_; }
  Platform& platform() { return *platform_; }
  bool has_platform() const { return bool(platform_); }
  Machine& machine() { return *machine_; }
  bool has_machine() const { return bool(machine_); }
  Devices& devices() { return devices_; }
  ReplaceableSlots& replaceable_slots() { return replaceable_slots_; }
  LifeCycle& life_cycle() { return life_cycle_; }
  // The back ends that plugins serve, from when they are made until they are gone.
  std::set<const nacre_instance*>& plugin_back_ends() { return plugin_back_ends_; }
  Disks& disks() { return disks_; }
  Chardevs& chardevs() { return chardevs_; }
  RandomSources& random_sources() { return random_sources_; }
  Balloon& balloon() { return balloon_; }
  PassedFds& passed_fds() { return passed_fds_; }
  Netdevs& netdevs() { return netdevs_; }
  Announcer& announcer() { return announcer_; }
  // How many instances there are of which that holds: devices, those that wait in vacant slots, back ends, and
  // the machine.
  size_t count_instances(const std::function<bool(const nacre_instance&)>& holds) const;
  // [any] The plugin of that type threw, in an instance: whoever listens to the registry is told.
  void report_failure(const nacre_type* type, const std::string& reason);

  PluginMonitor* monitor() { return monitor_; }
  void set_monitor(PluginMonitor* monitor) { monitor_ = monitor; }

 private:
  void tell_of_failure(const std::string& disk, const BlockBackend::Failure& failure);

  EventLoop& loop_;
  Registry& registry_;
  PluginMonitor* monitor_ = nullptr;
  std::map<std::string, std::unique_ptr<IoThread>> iothreads_;
  std::set<const nacre_instance*> plugin_back_ends_;
  Disks disks_;
  Chardevs chardevs_;
  RandomSources random_sources_;
  Balloon balloon_;
  PassedFds passed_fds_;
  Netdevs netdevs_{[this](const NetOptions& options) { return open_plugin_net(*this, options); }};
  Announcer announcer_{loop_, [this](const std::vector<std::string>& names) { netdevs_.announce(names); }};
  LifeCycle life_cycle_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<Machine> machine_;
  bool booted_ = false;
  Devices devices_;
  ReplaceableSlots replaceable_slots_;
};

}  // namespace nacre
