// One device of a plugin on the fake host, as a test of its author makes it.
#pragma once

#include <map>
#include <memory>
#include <nacre/fake/host.hpp>
#include <string>

namespace nacre::fake {

// Made, used and ended on one thread, which stands for [main] and [loop]. Whatever fails throws std::runtime_error with
// one sentence, in which are the plugin's own words.
class Device {
 public:
  using Properties = std::map<std::string, std::string>;  // name: as a user writes it

  // Maps the plugin `file`, and makes its device `driver` with these properties and the table's defaults. Ranges and
  // patterns are the host's to check, and are not looked at here.
  Device(const std::string& file, const std::string& driver, const Properties& properties = {});
  // Ends whatever has not been ended.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  void realize();
  // Throws as well where the device keeps anything of the host's.
  void unrealize();
  // As a guest that resets a device that is not virtio, or the machine.
  void reset();
  // As a virtual machine that stops for a moment: waits until nothing is in flight, for at most two seconds.
  void quiesce();
  void resume();
  State save();
  void load(const State& state);

  // What the device holds: its virtio side, I/O ranges, interrupt lines, back ends, log.
  nacre_instance& instance() { return *instance_; }
  // Serve it to let the device work: run_until(), settle(), advance().
  nacre_loop& loop() { return loop_; }
  Memory& memory() { return memory_; }
  const nacre_device_ops& ops() const { return ops_; }
  void* self() { return self_; }

 private:
  const nacre_type* type_;
  nacre_device_ops ops_{};
  nacre_loop loop_;
  Memory memory_;
  std::unique_ptr<nacre_instance> instance_;
  void* self_ = nullptr;
  bool realized_ = false;
};

}  // namespace nacre::fake
