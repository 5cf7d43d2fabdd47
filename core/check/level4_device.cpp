// Level 4, device: a guest that does not keep to the rules, and state that has been damaged.
#include <fmt/format.h>
#include <sys/resource.h>

#include <nacre/fake/virtio_driver.hpp>
#include <random>
#include <thread>

#include "test.hpp"

namespace nacre::check {
namespace {

using Driver = fake::VirtioDriver;
using Descriptor = Driver::Descriptor;

void activate(Device& device, Driver& driver) {
  nacre_error slot;
  check_done(driver.activate(~uint64_t{0}, &slot), slot,
             fmt::format("activate() of '{}' fails on good rings", device.name()));
}

// Chains that no driver should offer: each fills the table of a queue; the first chain begins at 0.
struct Hostile {
  const char* name;
  void (*fill)(Descriptor* table, uint16_t n);
};
constexpr uint16_t kBoth = Driver::kNext | Driver::kWrite;
const Hostile kHostile[] = {
    {"a loop of descriptors",
     [](Descriptor* table, uint16_t n) {
       for (uint16_t i = 0; i < n; ++i) table[i] = {fake::kBuffers, 512, kBoth, static_cast<uint16_t>((i + 1) % n)};
     }},
    {"a descriptor that follows itself",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::kBuffers, 16, 1, 0};
     }},
    {"a next descriptor that does not exist",
     [](Descriptor* table, uint16_t n) {
       table[0] = {fake::kBuffers, 16, Driver::kNext, n};
     }},
    {"a buffer outside memory",
     [](Descriptor* table, uint16_t) {
       table[0] = {0x80000000, 4096, Driver::kWrite, 0};
     }},
    {"a buffer that wraps",
     [](Descriptor* table, uint16_t) {
       table[0] = {~uint64_t{0} - 15, 4096, Driver::kWrite, 0};
     }},
    {"a buffer over the end of memory",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::Memory::kLowSize - 16, 4096, Driver::kWrite, 0};
     }},
    {"a buffer of 4 GiB",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::kBuffers, 0xffffffff, Driver::kWrite, 0};
     }},
    {"an empty buffer",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::kBuffers, 0, 0, 0};
     }},
    {"readable after writable",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::kBuffers, 64, kBoth, 1};
       table[1] = {fake::kBuffers + 64, 64, 0, 0};
     }},
    {"an indirect table inside an indirect table",
     [](Descriptor* table, uint16_t) {
       table[0] = {0x10000 + 16, 32, Driver::kIndirect, 0};  // refers to this very table
       table[1] = {0x10000, 32, Driver::kIndirect, 0};
     }},
    {"an indirect table of an odd length",
     [](Descriptor* table, uint16_t) {
       table[0] = {fake::kBuffers, 17, Driver::kIndirect, 0};
     }},
    {"a buffer over the rings themselves",
     [](Descriptor* table, uint16_t) {
       table[0] = {0x10000, 0x10000, Driver::kWrite, 0};
     }},
    {"the longest chain of one byte each",
     [](Descriptor* table, uint16_t n) {
       for (uint16_t i = 0; i < n; ++i)
         table[i] = {fake::kBuffers + i, 1, static_cast<uint16_t>(i + 1 < n ? Driver::kNext : 0),
                     static_cast<uint16_t>(i + 1)};
     }},
    {"all bits set",
     [](Descriptor* table, uint16_t n) {
       std::fill(table, table + n, Descriptor{~uint64_t{0}, ~0u, 0xffff, 0xffff});
     }},
};

// A device survives what a guest does to a queue: it goes on, ignores it, or asks for a reset, and works after one.
void survives(Device& device, Driver& driver, const std::string& what) {
  device.loop().settle(std::chrono::milliseconds(30));
  check(device.memory().canaries_alive(), fmt::format("{}: '{}' wrote outside guest memory.", what, device.name()));
  driver.reset();
  device.loop().settle(std::chrono::milliseconds(5));
  nacre_error slot;
  check_done(driver.activate(~uint64_t{0}, &slot), slot,
             fmt::format("{}: '{}' cannot be activated again after a reset", what, device.name()));
}

void hostile_rings(Subject& subject, const Options&, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    if (!device.instance().virtio) return;
    Driver driver(device.instance());
    activate(device, driver);
    for (size_t queue = 0; queue < driver.queues(); ++queue) {
      const uint16_t n = driver.entries(queue);
      for (const Hostile& hostile : kHostile) {
        hostile.fill(driver.table(queue), n);
        driver.offer(queue, 0);
        survives(device, driver, fmt::format("queue {}, {}", queue, hostile.name));
      }
      driver.offer(queue, n);
      survives(device, driver, fmt::format("queue {}, a head that does not exist", queue));
      driver.set_available(queue, static_cast<uint16_t>(n + 1));
      survives(device, driver, fmt::format("queue {}, an available index that runs ahead", queue));
      driver.set_available(queue, 0xffff);
      survives(device, driver, fmt::format("queue {}, an available index that goes back", queue));
    }
  });
}

// With nothing to complain about, a chain comes back or waits; it never marks the device as broken.
void empty_chains(Subject& subject, const Options&, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    if (!device.instance().virtio) return;
    Driver driver(device.instance());
    activate(device, driver);
    for (size_t queue = 0; queue < driver.queues(); ++queue) driver.kick(queue);
    device.loop().settle(std::chrono::milliseconds(50));
    check(device.instance().virtio->broken.empty(),
          fmt::format("'{}' asks for a reset though its queues are only empty: {}", device.name(),
                      device.instance().virtio->broken));
    for (size_t queue = 0; queue < driver.queues(); ++queue)
      check(driver.used(queue) == 0,
            fmt::format("'{}' gave back a chain that was never offered, in queue {}.", device.name(), queue));
  });
}

void configuration_writes(Subject& subject, const Options& options, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    nacre_virtio* virtio = device.instance().virtio.get();
    if (!virtio || !virtio->ops.config_written) return;
    Driver driver(device.instance());
    activate(device, driver);
    std::mt19937_64 random(options.seed);
    const auto size = static_cast<uint32_t>(virtio->config.size());
    for (uint32_t width : {1u, 2u, 4u, 8u}) {
      for (uint32_t offset = 0; offset + width <= size; ++offset) {
        uint64_t value = random();
        std::memcpy(virtio->config.data() + offset, &value, width);  // the host's part of a write
        virtio->ops.config_written(virtio->self, offset, reinterpret_cast<uint8_t*>(&value), width);
      }
    }
    device.loop().settle(std::chrono::milliseconds(20));
  });
}

void register_sweep(Subject& subject, const Options& options, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    for (nacre_mmio_region* reached : device.instance().reachable()) {
      nacre_mmio_region& region = *reached;
      const uint64_t length = std::min<uint64_t>(region.length, 4096);
      auto sweep = [&](uint64_t seed) {
        std::mt19937_64 random(seed);
        for (int pass = 0; pass < 8; ++pass) {
          for (uint32_t width : {1u, 2u, 4u, 8u}) {
            for (uint64_t offset = 0; offset + width <= length; ++offset) {
              if (region.ops.write) region.ops.write(region.opaque, offset, width, random());
              if (region.ops.read) (void)region.ops.read(region.opaque, offset, width);
            }
          }
        }
      };
      // Two vCPUs at once, unless the device has asked for one at a time; the loop is served meanwhile.
      std::atomic<int> running{2};
      std::thread first([&] { sweep(options.seed), --running; });
      std::thread second([&] { sweep(options.seed + 1), --running; });
      const bool ended = device.loop().run_until([&] { return running == 0; }, std::chrono::seconds(10));
      if (!ended) {
        first.detach(), second.detach();
        throw Failed{fmt::format("a register access of '{}' did not return within 10 s.", device.name())};
      }
      first.join(), second.join();
    }
    device.reset();
  });
}

// One thing that a guest may do to a PCI function, by chance: its configuration, its BARs, a reset in the middle.
void pci_step(Device& device, std::mt19937_64& random, bool resets) {
  nacre_pci& function = *device.instance().pci;
  const uint64_t which = random() % 64;
  if (which == 0 && resets) return device.reset();
  const auto offset = static_cast<uint32_t>(which < 16 ? random() % 0x100 : random() % 4096);
  const uint32_t width = 1u << random() % 3;
  if (which < 24) {
    function.write_config(offset, width, static_cast<uint32_t>(random()));
    (void)function.read_config(offset, width);
    if (which % 4 == 0) function.enable();
    return;
  }
  const auto bar = static_cast<uint32_t>(random() % function.bars.size());
  if (!function.bars[bar]) return;
  const uint64_t length = function.bars[bar]->length;
  const uint32_t wide = 1u << random() % 4;
  if (length < wide) return;
  const uint64_t last = length - wide, near = std::min<uint64_t>(last, 4095);
  const uint64_t at = which % 4 == 0 ? last : which % 4 == 1 ? random() % (last + 1) : random() % (near + 1);
  function.write(bar, at, wide, random() % 2 ? random() : random() % 4096);
  (void)function.read(bar, at, wide);
}

void pci_function(Subject& subject, const Options& options, const std::string&) {
  with_each_device(subject, [&](Device& device) {
    if (!device.instance().pci) return;
    device.instance().pci->enable();
    std::mt19937_64 random(options.seed);
    for (int step = 0; step < 20000; ++step) {
      pci_step(device, random, true);
      if (step % 64 == 0) device.loop().settle(std::chrono::milliseconds(5));
    }
    // Two vCPUs at once; resets come from the loop between their accesses.
    std::atomic<int> running{2};
    auto vcpu = [&](uint64_t seed) {
      std::mt19937_64 own(seed);
      for (int step = 0; step < 20000; ++step) pci_step(device, own, false);
      --running;
    };
    std::thread first(vcpu, options.seed + 1), second(vcpu, options.seed + 2);
    const bool ended = device.loop().run_until(
        [&] {
          device.reset();
          return running == 0;
        },
        std::chrono::seconds(10));
    if (!ended) {
      first.detach(), second.detach();
      throw Failed{fmt::format("an access to the PCI function of '{}' did not return within 10 s.", device.name())};
    }
    first.join(), second.join();
    device.reset();
    check(device.memory().canaries_alive(), fmt::format("'{}' wrote outside guest memory.", device.name()));
  });
}

nacre_state_writer save(Device& device) {
  nacre_state_writer out;
  nacre_error slot;
  device.quiesce();
  check_done(device.ops().save(device.self(), &out, &slot), slot, fmt::format("save() of '{}' fails", device.name()));
  check(!out.twice, fmt::format("save() of '{}' writes a tag twice.", device.name()));
  return out;
}

void state(Subject& subject, const Options& options, const std::string&) {
  subject.start();
  for (const nacre_type* type : subject.devices()) {
    if (!type->state_version) continue;
    Device device(*type, subject);
    check(device.ops().save && device.ops().load,
          fmt::format("'{}' has a state_version, but not both of save() and load().", type->name));
    device.realize();
    const nacre_state_writer first = save(device);
    Device other(*type, subject);
    other.realize();
    other.quiesce();
    nacre_state_reader reader{first.fields, type->state_version};
    nacre_error slot;
    check_done(other.ops().load(other.self(), &reader, &slot), slot,
               fmt::format("load() of '{}' refuses what save() wrote", type->name));
    check(save(other).fields == first.fields, fmt::format("'{}' saves something else than it has loaded.", type->name));
    // Damaged: fields that are gone, cut short or changed are refused or taken, and the device lives.
    std::mt19937_64 random(options.seed);
    for (int i = 0; i < 200; ++i) {
      nacre::fake::State damaged = first.fields;
      auto field = std::next(damaged.begin(), static_cast<long>(random() % std::max<size_t>(damaged.size(), 1)));
      if (field == damaged.end()) break;
      std::string& bytes = field->second.second;
      if (i % 3 == 0) {
        damaged.erase(field);
      } else if (i % 3 == 1 && !field->second.first) {
        bytes.resize(random() % (bytes.size() + 1));
      } else if (!bytes.empty()) {
        char& byte = bytes[random() % bytes.size()];
        byte = static_cast<char>(byte ^ 1 << random() % 8);
      }
      nacre_state_reader bad{damaged, type->state_version};
      (void)other.ops().load(other.self(), &bad, &slot);
    }
    for (Device* one : {&device, &other}) {
      one->resume();
      one->unrealize();
      one->destroy();
    }
  }
}

}  // namespace

void add_device_tests(std::vector<Test>& tests) {
  tests.push_back(
      {4, "hostile_rings", "rings that break every rule hurt only until the next reset", hostile_rings, {}});
  tests.push_back({4, "empty_chains", "kicks without buffers do nothing", empty_chains, {}});
  tests.push_back({4,
                   "configuration_writes",
                   "it takes writes of every width to its virtio configuration",
                   configuration_writes,
                   {}});
  tests.push_back(
      {4, "register_sweep", "its registers answer every offset and width, from two vCPUs at once", register_sweep, {}});
  tests.push_back({4,
                   "pci_function",
                   "its PCI function takes accesses of every width to configuration and BARs, with resets among them",
                   pci_function,
                   {}});
  tests.push_back({4, "state", "state loads as it was saved; damaged state does not kill it", state, {}});
}

}  // namespace nacre::check
