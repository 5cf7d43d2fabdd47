// The devices of a machine: made by driver name, placed by the machine, taken away again.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/vm/instance.hpp"

namespace nacre {

class Machine;
class Registry;

// Main thread only.
class Devices {
 public:
  using Properties = std::vector<std::pair<std::string, std::string>>;  // in the user's words and order

  Devices(VirtualMachine& vm, Registry& registry) : vm_(vm), registry_(registry) {}
  // Takes all of them away, the last one first. The vCPUs are stopped.
  ~Devices();
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  // Makes the device: driver looked up (its plugin mapped on first use), properties checked, created, realized, placed.
  // A failure undoes what came before it and says why. An empty id gets one made up.
  Result<nacre_instance*> add(const std::string& driver, const std::string& id, const Properties& properties);
  // The same while the guest runs: refused for a driver that is not hot-pluggable. What stands behind the device is by
  // default what has the device's id.
  Result<nacre_instance*> hot_add(const std::string& driver, const std::string& id, Properties properties);
  // Takes it away while the guest runs, with what stood behind it where its slot is replaceable; a device on PCI only
  // when the guest has let go, or at once by `force`, with what shares its slot; any only when its requests at the host
  // have ended. DEVICE_DELETED tells when it is gone. Fails for one that the guest was asked for and has not answered.
  Status remove(const std::string& id, bool force = false);
  // The guest has let go of this vCPU: the device that it is goes.
  void ejected(uint32_t vcpu);
  // The slot of the port whose bus has this name is off: its devices go.
  void switched_off(const std::string& bus);

  // Makes a device up to realized, in no list and at no place; unmake() ends it. A `vacant` one has no back end.
  Result<std::unique_ptr<nacre_instance>> make(const std::string& driver, const std::string& id, Properties properties,
                                               bool vacant);
  void unmake(nacre_instance& device);
  // Takes all away; what they leave behind is taken back.
  void clear();

  // What devices of this driver are given from now on, where the user says nothing else. Fails for a driver or a
  // property that there is not, and for a wrong value.
  Status set_default(const std::string& driver, const std::string& property, const std::string& value);

  nacre_instance* find(const std::string& id);
  const std::vector<std::unique_ptr<nacre_instance>>& all() const { return devices_; }

  // Those that have a bootindex, in its order.
  std::vector<const nacre_instance*> in_boot_order() const;

  // Whether nothing is under way at the host for any of them: a reset does not wait. They ask nothing more of it, until
  // they are reset or go_on(). Otherwise `settled` comes on any thread when it is worth asking again.
  bool hold(const std::function<void()>& settled);
  void go_on();
  // [vCPUs parked] Every device that is not on a virtio bus, as at power-on.
  void reset();
  // Presses the power button of every device that has one; false when none has.
  bool press_power_button();

 private:
  Result<nacre_instance*> add(const std::string& driver, const std::string& id, const Properties& properties, bool hot);
  // Whether the machine's vCPUs come and go by this driver.
  bool is_cpu(const std::string& driver) const;
  // Fails where another device has its bootindex.
  Status check_bootindex(const nacre_instance& device) const;
  Status realize(nacre_instance& instance);
  Error failure(const nacre_instance& instance, const char* function, nacre_status code, const std::string& words);
  void undo(nacre_instance& instance, bool realized);
  void take_out(nacre_instance& device);
  void remove_settled(const std::string& id, std::chrono::milliseconds patience);
  Status ask_for(nacre_instance& device, bool force);
  void tell_of_removal(const std::string& id, const std::string& path);
  void tell_of_resize();

  VirtualMachine& vm_;
  Registry& registry_;
  struct Default {
    std::string driver, property, value;
  };
  std::vector<Default> defaults_;
  std::vector<std::unique_ptr<nacre_instance>> devices_;
  uint32_t unnamed_ = 0;
};

}  // namespace nacre
