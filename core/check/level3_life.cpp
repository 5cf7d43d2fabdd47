// Level 3, life: the legal ways through a device's states, and nothing left behind.
#include <fmt/format.h>

#include <nacre/fake/virtio_driver.hpp>

#include "core/plugin/properties.hpp"
#include "resources.hpp"
#include "test.hpp"

namespace nacre::check {
namespace {

constexpr int kCycles = 200, kWarmUp = 20;
constexpr size_t kSlackBytes = 64 << 10, kSlackMappings = 4;

template <typename Run>
void each_device(Subject& subject, Run run) {
  subject.start();
  for (const nacre_type* type : subject.devices()) run(*type);
}

// Has the fake driver start the device; false where it is no virtio device.
std::unique_ptr<fake::VirtioDriver> start(Device& device) {
  if (!device.instance().virtio) return nullptr;
  auto driver = std::make_unique<fake::VirtioDriver>(device.instance());
  nacre_error slot;
  check_done(driver->activate(~uint64_t{0}, &slot), slot,
             fmt::format("activate() of '{}' fails on good rings", device.name()));
  device.loop().settle(std::chrono::milliseconds(20));
  return driver;
}

void made_and_ended(Subject& subject, const Options&, const std::string&) {
  each_device(subject, [&](const nacre_type& type) {
    Device(type, subject).destroy();
    Device device(type, subject);
    device.realize();
    device.unrealize();
    device.destroy();
  });
}

void vacant(Subject& subject, const Options&, const std::string&) {
  each_device(subject, [&](const nacre_type& type) {
    bool waits = false;
    for (const nacre_prop& prop : properties_of(type))
      waits = waits || (is_back_end(prop) && prop.flags & NACRE_PROP_REQUIRED && prop.node_kind &&
                        (std::string(prop.node_kind) == "block" || std::string(prop.node_kind) == "net"));
    if (!waits || !(type.flags & NACRE_TYPE_HOTPLUGGABLE)) return;
    Device device(type, subject, true);
    device.realize();
    start(device);
    device.unrealize();
    device.destroy();
  });
}

void unplugged_at_every_state(Subject& subject, const Options&, const std::string&) {
  each_device(subject, [&](const nacre_type& type) {
    for (int state = 0; state < 4; ++state) {
      Device device(type, subject);
      device.realize();
      device.reset();
      auto driver = start(device);
      if (state == 1) device.quiesce();
      if (state == 2) device.quiesce(), device.resume();
      if (driver) driver->reset();
      if (state == 3 && driver) driver->activate(~uint64_t{0}), driver->reset();
      driver.reset();
      device.unrealize();
      device.destroy();
    }
  });
}

void reset_storm(Subject& subject, const Options&, const std::string&) {
  each_device(subject, [&](const nacre_type& type) {
    Device device(type, subject);
    device.realize();
    for (int i = 0; i < 50; ++i) {
      device.reset();
      if (!device.instance().virtio) continue;
      fake::VirtioDriver driver(device.instance());
      check(driver.activate(~uint64_t{0}) == NACRE_OK,
            fmt::format("'{}' cannot be activated after a reset.", type.name));
      for (size_t queue = 0; queue < driver.queues(); ++queue) driver.kick(queue);
      if (i % 2) device.loop().settle(std::chrono::milliseconds(5));
    }
    device.unrealize();
    device.destroy();
  });
}

void leaves_nothing(Subject& subject, const Options&, const std::string&) {
  each_device(subject, [&](const nacre_type& type) {
    Resources before;
    for (int i = 0; i < kCycles + kWarmUp; ++i) {
      if (i == kWarmUp) before = Resources::now();
      Device device(type, subject);
      device.realize();
      start(device).reset();
      device.unrealize();
      device.destroy();
    }
    const Resources after = Resources::now();
    auto grown = [&](const char* what, size_t was, size_t is, size_t slack) {
      check(is <= was + slack, fmt::format("{} instances of '{}' left {} {} behind ({} before, {} after).", kCycles,
                                           type.name, is - was, what, was, is));
    };
    grown("descriptors", before.descriptors, after.descriptors, 0);
    grown("threads", before.threads, after.threads, 0);
    grown("mappings", before.mappings, after.mappings, kSlackMappings);
    grown("bytes of heap", before.heap, after.heap, kSlackBytes);
  });
}

}  // namespace

void add_life_tests(std::vector<Test>& tests) {
  tests.push_back({3,
                   "made_and_ended",
                   "a device is made, realized, unrealized and destroyed, also unrealized never",
                   made_and_ended,
                   {}});
  tests.push_back({3, "vacant", "a hot-pluggable disk or NIC works in a slot without its back end", vacant, {}});
  tests.push_back({3,
                   "unplugged_at_every_state",
                   "it can be unplugged idle, active, quiesced, resumed and reset",
                   unplugged_at_every_state,
                   {}});
  tests.push_back({3, "reset_storm", "resets at any moment, fifty times", reset_storm, {}});
  tests.push_back(
      {3, "leaves_nothing", "200 devices leave no descriptor, thread, mapping or memory behind", leaves_nothing, {}});
}

}  // namespace nacre::check
