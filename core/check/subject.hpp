// The plugin under test, and the instances of its types that tests make on the fake host.
#pragma once

#include <memory>
#include <nacre/fake/host.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/plugin/manifest.hpp"

namespace nacre::check {

// The plugin broke a rule: one sentence that says which, and what to do.
struct Failed {
  std::string sentence;
};
// The test cannot be run here, and why: nothing is known about the plugin.
struct Cannot {
  std::string sentence;
};

void check(bool holds, const std::string& sentence);
// Throws where a call of the plugin has not ended with NACRE_OK: `what` and the plugin's words.
void check_done(nacre_status status, const nacre_error& slot, const std::string& what);

// What the user says about the plugin's properties: name and value.
using Settings = std::vector<std::pair<std::string, std::string>>;

class Subject {
 public:
  // Reads the note. Throws Failed with the loader's own sentence.
  Subject(std::string path, Settings settings);

  const std::string& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  const Settings& settings() const { return settings_; }

  // Maps the plugin on a fake host that lacks `without`, and returns its entry's answer. Once to a process. Throws
  // Failed.
  const nacre_plugin& map(const std::set<std::string>& without = {});
  // The same, and calls init().
  const nacre_plugin& start(const std::set<std::string>& without = {});
  // Its device types, once it is mapped.
  std::vector<const nacre_type*> devices() const;

 private:
  std::string path_;
  Settings settings_;
  Manifest manifest_;
  const nacre_plugin* plugin_ = nullptr;
};

// The values that a device is made with: the user's, and for each required property that the user does not set one that
// the table allows; without the required back ends where it is to be `vacant`. Throws Failed where the table does not
// allow its own defaults, and Cannot where no value can be made up.
std::map<std::string, fake::Value> values_for(const nacre_type& type, const Settings& settings, bool vacant = false);

// One device on the fake host. Every step throws Failed where the plugin breaks a rule.
class Device {
 public:
  // Where the type stands on the bus of another device of its plugin, that one is made and realized with it.
  Device(const nacre_type& type, const Subject& subject, bool vacant = false);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Throws Cannot with the plugin's words where what the device needs is not there: the fake host has no tap, no
  // /dev/vhost-*.
  void realize();
  void unrealize();
  void destroy();
  void quiesce();
  void resume();
  void reset();

  nacre_instance& instance() { return *instance_; }
  nacre_loop& loop() { return loop_; }
  fake::Memory& memory() { return memory_; }
  const nacre_device_ops& ops() const { return ops_; }
  void* self() { return self_; }
  const nacre_type& type() const { return type_; }
  std::string name() const { return type_.name; }
  // Throws where it holds anything that it should have given back.
  void check_gave_back(const std::string& when);

 private:
  const nacre_type& type_;
  std::unique_ptr<Device> parent_;
  nacre_device_ops ops_{};
  nacre_loop loop_;
  fake::Memory memory_;
  std::unique_ptr<nacre_instance> instance_;
  void* self_ = nullptr;
  bool realized_ = false;
};

// Starts the plugin, and makes each of its devices, realized and reset, for `run`, and ends it.
template <typename Run>
void with_each_device(Subject& subject, Run run) {
  subject.start();
  for (const nacre_type* type : subject.devices()) {
    Device device(*type, subject);
    device.realize();
    device.reset();
    run(device);
    device.unrealize();
    device.destroy();
  }
}

}  // namespace nacre::check
