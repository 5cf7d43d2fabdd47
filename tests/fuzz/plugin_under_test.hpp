// The plugin that a target is run for, by its environment (CMakeLists.txt), and its devices on the fake host.
#pragma once

#include <deque>
#include <nacre/fake/back_ends.hpp>
#include <nacre/fake/device.hpp>
#include <nacre/fake/virtio_driver.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/fuzz/input.hpp"

namespace nacre::fuzz {

// NACRE_FUZZ_PLUGIN is its file, NACRE_FUZZ_DEVICES what is made for each run, in this order:
// "driver,property=value,...;driver,...".
class PluginUnderTest {
 public:
  struct Wanted {
    std::string driver;
    fake::Device::Properties properties;
  };

  PluginUnderTest() {
    const char* file = std::getenv("NACRE_FUZZ_PLUGIN");
    const char* devices = std::getenv("NACRE_FUZZ_DEVICES");
    require(file && devices, "a plugin and its devices are named: run the script of that name beside this program");
    file_ = file;
    for (const std::string& each : split(devices, ';')) {
      const std::vector<std::string> words = split(each, ',');
      Wanted wanted{words[0], {}};
      for (size_t i = 1; i < words.size(); ++i) {
        const size_t equals = words[i].find('=');
        wanted.properties[words[i].substr(0, equals)] = words[i].substr(equals + 1);
      }
      wanted_.push_back(std::move(wanted));
    }
  }
  const std::string& file() const { return file_; }
  const std::vector<Wanted>& wanted() const { return wanted_; }

 private:
  static std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts(1);
    for (char c : text) {
      if (c == separator)
        parts.emplace_back();
      else
        parts.back() += c;
    }
    return parts;
  }

  std::string file_;
  std::vector<Wanted> wanted_;
};

// Its devices, realized; gone with everything that they took when it ends.
class Devices {
 public:
  Devices() {
    static const PluginUnderTest& plugin = *new PluginUnderTest;
    for (const PluginUnderTest::Wanted& wanted : plugin.wanted()) {
      all_.emplace_back(plugin.file(), wanted.driver, wanted.properties);
      all_.back().realize();
    }
  }
  // Ends them in the opposite order, and looks at what they leave. Call it before the destructor, which is silent.
  void end() {
    while (!all_.empty()) {
      fake::Device& device = all_.back();
      device.unrealize();
      require(device.memory().canaries_alive(), "nothing is written beside guest memory");
      all_.pop_back();
    }
    for (const std::string& offence : fake::offences()) require(false, "a plugin keeps the contract", offence);
  }
  ~Devices() {
    while (!all_.empty()) all_.pop_back();
  }
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  fake::Device& first() { return all_.front(); }
  std::deque<fake::Device>& all() { return all_; }
  // Lets all of them work on what is there, without waiting.
  void serve() {
    for (int round = 0; round < 64; ++round) {
      bool any = false;
      for (fake::Device& device : all_) any |= device.loop().serve();
      if (!any) return;
    }
  }

 private:
  std::deque<fake::Device> all_;
};

// Runs `run` and tells an exception's words: what the fake host holds against a plugin comes as one.
template <typename Run>
int guarded(Run run) {
  try {
    run();
  } catch (const std::exception& thrown) {
    require(false, "a device lives and ends as it should", thrown.what());
  }
  return 0;
}

// What a target does with an input; device.cpp and state.cpp each have one.
void run(Input& input);

// An access to a register of any of them, by a vCPU.
inline void access_registers(Devices& devices, Input& input) {
  std::vector<nacre_mmio_region*> reachable;
  for (fake::Device& device : devices.all())
    for (nacre_mmio_region* region : device.instance().reachable()) reachable.push_back(region);
  if (reachable.empty()) return;
  nacre_mmio_region& region = *reachable[input.below(static_cast<uint32_t>(reachable.size()))];
  const uint8_t how = input.number<uint8_t>();
  const uint32_t width = 1u << (how & 3);
  if (region.length < width) return;
  const uint64_t offset = (how & 4 ? input.number<uint32_t>() : input.number<uint8_t>()) % (region.length - width + 1);
  const uint64_t value = how & 8 ? input.number<uint64_t>() : input.number<uint8_t>();
  if (how & 16 && region.ops.write) region.ops.write(region.opaque, offset, width, value);
  if (how & 32 && region.ops.read) (void)region.ops.read(region.opaque, offset, width);
}

}  // namespace nacre::fuzz
