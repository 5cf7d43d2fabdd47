// Level 5, vCPUs: what runs on the thread of a virtual CPU never waits and takes no memory. The guest stands still
// until it returns.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "allocations.hpp"
#include "blocking_calls.hpp"
#include "test.hpp"

namespace nacre::check {
namespace {

// Reaches every register a few times, by all widths.
void sweep(nacre_mmio_region& region, uint64_t seed, int times) {
  std::mt19937_64 random(seed);
  const uint64_t length = std::min<uint64_t>(region.length, 256);
  for (int i = 0; i < times; ++i)
    for (uint64_t offset = 0; offset < length; ++offset)
      for (uint32_t width = 1; width <= 8 && offset + width <= length; width *= 2) {
        if (offset % width) continue;
        if (region.ops.write) region.ops.write(region.opaque, offset, width, random());
        if (region.ops.read) (void)region.ops.read(region.opaque, offset, width);
      }
}

// Writes and reads the configuration of a PCI function, as a vCPU does.
void sweep(nacre_pci& function, uint64_t seed, int times) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < times; ++i)
    for (uint32_t offset = 0; offset < 256; offset += 4)
      for (uint32_t width : {1u, 2u, 4u}) {
        function.write_config(offset, width, static_cast<uint32_t>(random()));
        (void)function.read_config(offset, width);
      }
}

// Runs `test` with each range of each device, and with the configuration of those on PCI, and two ways to use it:
// once, and often. What a plugin does at the first access is nobody's fault: its code may still be on disk.
using Sweep = std::function<void()>;
void with_each_range(Subject& subject, const Options& options,
                     const std::function<void(Device& device, const Sweep& once, const Sweep& often)>& test) {
  with_each_device(subject, [&](Device& device) {
    if (device.instance().pci) device.instance().pci->enable();
    for (nacre_mmio_region* region : device.instance().reachable())
      test(
          device, [&] { sweep(*region, options.seed, 1); }, [&] { sweep(*region, options.seed + 1, 30); });
    if (nacre_pci* function = device.instance().pci.get())
      test(
          device, [&] { sweep(*function, options.seed, 1); }, [&] { sweep(*function, options.seed + 1, 30); });
    device.reset();
  });
}

void never_blocks_a_vcpu(Subject& subject, const Options& options, const std::string&) {
  with_each_range(subject, options, [](Device& device, const Sweep& once, const Sweep& often) {
    long waits = -1;
    std::thread vcpu([&] {
      once();
      rusage before, after;
      ::getrusage(RUSAGE_THREAD, &before);
      often();
      ::getrusage(RUSAGE_THREAD, &after);
      waits = after.ru_nvcsw - before.ru_nvcsw;
    });
    vcpu.join();  // nobody serves the loop: a call that waits for it waits for ever, and the deadline says so
    check(waits == 0,
          fmt::format("register accesses of '{}' waited {} times: a vCPU must never wait.", device.name(), waits));
  });
}

void calls_nothing_that_waits(Subject& subject, const Options& options, const std::string&) {
  with_each_range(subject, options, [](Device& device, const Sweep& once, const Sweep& often) {
    const std::vector<std::string> calls = blocking_calls(once, often);
    const std::set<std::string> different(calls.begin(), calls.end());
    check(calls.empty(), fmt::format("register accesses of '{}' made {} system calls that may wait, on the thread of a "
                                     "vCPU: {}. Leave them to the device's loop.",
                                     device.name(), calls.size(), fmt::join(different, ", ")));
  });
}

void takes_no_memory(Subject& subject, const Options& options, const std::string&) {
  with_each_range(subject, options, [&](Device& device, const Sweep& once, const Sweep& often) {
    const ImageRange plugin = image_range(&device.type());
    size_t count = 0;
    uintptr_t first = 0;
    std::thread vcpu([&] {
      once();
      AllocationWatch watch(plugin);
      often();
      count = watch.count();
      first = watch.first();
    });
    vcpu.join();
    check(count == 0, fmt::format("register accesses of '{}' allocated memory {} times, on the thread of a vCPU; first "
                                  "at offset {:#x} of the plugin. Allocate in realize().",
                                  device.name(), count, first));
  });
}

}  // namespace

void add_vcpu_tests(std::vector<Test>& tests) {
  tests.push_back({5, "never_blocks_a_vcpu", "register accesses never wait", never_blocks_a_vcpu, {}});
  tests.push_back({5, "calls_nothing_that_waits", "nor make system calls that may", calls_nothing_that_waits, {}});
  tests.push_back({5, "takes_no_memory", "nor take memory from the heap", takes_no_memory, {}});
}

}  // namespace nacre::check
