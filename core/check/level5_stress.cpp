// Level 5, stress: threads and chance.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nacre/fake/virtio_driver.hpp>
#include <random>
#include <thread>

#include "test.hpp"

namespace nacre::check {
namespace {

using Driver = fake::VirtioDriver;

void threads(Subject& subject, const Options&, const std::string&) {
  with_each_device(subject, [](Device& device) {
    std::thread([&] {
      for (nacre_mmio_region* reached : device.instance().reachable()) {
        nacre_mmio_region& region = *reached;
        if (region.ops.write) region.ops.write(region.opaque, 0, 1, 0);
        if (region.ops.read) (void)region.ops.read(region.opaque, 0, 1);
      }
    }).join();
    device.loop().settle(std::chrono::milliseconds(50));
    if (!device.instance().virtio) return;
    Driver driver(device.instance());
    driver.activate(~uint64_t{0});
    for (size_t queue = 0; queue < driver.queues(); ++queue) {
      driver.table(queue)[0] = {fake::kBuffers, 512, Driver::kWrite, 0};
      driver.offer(queue, 0);
    }
    device.loop().settle(std::chrono::milliseconds(50));
  });
  const std::vector<std::string> offences = fake::offences();
  check(offences.empty(), fmt::format("it broke the rules of the contract: {}.", fmt::join(offences, "; ")));
}

void fuzz(Subject& subject, const Options& options, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    std::mt19937_64 random(options.seed);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.fuzz_seconds);
    std::unique_ptr<Driver> driver;
    if (device.instance().virtio) driver = std::make_unique<Driver>(device.instance());
    while (std::chrono::steady_clock::now() < deadline) {
      if (driver && !driver->active() && driver->activate(random()) != NACRE_OK) continue;
      for (nacre_mmio_region* reached : device.instance().reachable()) {
        nacre_mmio_region& region = *reached;
        const uint32_t width = 1u << random() % 4;
        if (region.length < width) continue;
        const uint64_t offset = random() % (region.length - width + 1);
        if (region.ops.write) region.ops.write(region.opaque, offset, width, random());
        if (region.ops.read) (void)region.ops.read(region.opaque, offset, width);
      }
      if (nacre_pci* function = device.instance().pci.get()) {
        const auto offset = static_cast<uint32_t>(random() % 4096);
        function->write_config(offset, 1u << random() % 3, static_cast<uint32_t>(random()));
        if (random() % 8 == 0) function->enable();
        if (random() % 256 == 0) device.reset();
      }
      if (driver && driver->queues()) {
        const size_t queue = random() % driver->queues();
        const uint16_t n = driver->entries(queue);
        Driver::Descriptor* table = driver->table(queue);
        for (int i = 0; i < 4; ++i) {
          const bool mad = random() % 8 == 0;
          table[random() % n] = {mad ? random() : fake::kBuffers + random() % fake::kBuffersSize,
                                 static_cast<uint32_t>(mad ? random() : random() % 5000),
                                 static_cast<uint16_t>(random() % 8), static_cast<uint16_t>(random() % (n + mad))};
        }
        auto* content = device.memory().at(fake::kBuffers, fake::kBuffersSize);
        for (int i = 0; i < 64; ++i) content[random() % fake::kBuffersSize] = static_cast<uint8_t>(random());
        driver->offer(queue, static_cast<uint16_t>(random() % (n + (random() % 16 == 0))));
        if (random() % 4 == 0) device.loop().settle(std::chrono::milliseconds(5));
        if (random() % 32 == 0 || !device.instance().virtio->broken.empty()) driver->reset();
      } else {
        device.loop().settle(std::chrono::milliseconds(1));
      }
      check(device.memory().canaries_alive(), fmt::format("'{}' wrote outside guest memory.", device.name()));
    }
    driver.reset();
  });
}

}  // namespace

void add_stress_tests(std::vector<Test>& tests) {
  tests.push_back({5, "threads", "services of one thread are used on that thread only", threads, {}});
  tests.push_back({5, "fuzz", "it survives random rings and register accesses", fuzz, {}});
}

}  // namespace nacre::check
