// A device of a plugin: activated over memory that the guest has filled with anything, its registers and configuration,
// what comes from behind it, resets among all that.
#include <sys/eventfd.h>

#include <algorithm>

#include "tests/fuzz/plugin_under_test.hpp"
#include "tests/qtest/fake_vhost.h"

extern "C" {
// Whether the fake of /dev/vhost-vsock walks rings.
static bool kernel_runs = false;
void fake_vhost_runs(int on, int, int) {
  kernel_runs = on != 0;
}
}

namespace nacre::fuzz {
namespace {

using Driver = fake::VirtioDriver;

// The guest's side of the rings.
class Rings {
 public:
  Rings(fake::Device& device) : device_(device), driver_(device.instance()) {}

  void activate(Input& input) {
    if (driver_.active()) return;
    const uint8_t kind = input.number<uint8_t>();
    (void)driver_.activate(kind & 1 ? input.number<uint64_t>() : ~uint64_t{0});
  }
  void reset() { driver_.reset(); }
  void describe(Input& input) {
    if (!driver_.queues()) return;
    const size_t queue = input.below(static_cast<uint32_t>(driver_.queues()));
    const uint8_t how = input.number<uint8_t>();
    Driver::Descriptor& descriptor = driver_.table(queue)[input.below(driver_.entries(queue))];
    descriptor.addr = how < 8 ? input.number<uint64_t>() : fake::kBuffers + input.number<uint16_t>();
    descriptor.len = how & 64 ? input.number<uint32_t>() : input.number<uint16_t>() % 1100;
    descriptor.flags = input.number<uint8_t>() & 7;
    descriptor.next = input.number<uint8_t>();
  }
  // A request as its device's driver makes it: a head that the device reads, data, and a place for an answer.
  void request(Input& input) {
    if (!driver_.queues()) return;
    const size_t queue = input.below(static_cast<uint32_t>(driver_.queues()));
    Driver::Descriptor* table = driver_.table(queue);
    const uint8_t shape = input.number<uint8_t>();
    const uint16_t parts = static_cast<uint16_t>(std::min<uint32_t>(shape % 4 + 1, driver_.entries(queue)));
    const uint16_t readable = static_cast<uint16_t>((shape >> 2) % (parts + 1));
    for (uint16_t i = 0; i < parts; ++i) {
      table[i].addr = fake::kBuffers + 0x1000u * i + (shape & 64 ? input.number<uint8_t>() : 0);
      table[i].len = std::max<uint32_t>(1, input.number<uint16_t>() % 600);
      table[i].flags =
          static_cast<uint16_t>((i + 1 < parts ? Driver::kNext : 0) | (i >= readable ? Driver::kWrite : 0));
      table[i].next = static_cast<uint16_t>(i + 1);
    }
    const auto head = input.take(input.below(40));
    std::copy(head.begin(), head.end(), device_.memory().at(fake::kBuffers, 64));
    driver_.offer(queue, 0);
  }
  void offer(Input& input) {
    if (!driver_.queues()) return;
    const size_t queue = input.below(static_cast<uint32_t>(driver_.queues()));
    if (input.number<uint8_t>() < 8)
      driver_.set_available(queue, input.number<uint16_t>());
    else
      driver_.offer(queue, input.number<uint8_t>());
  }

 private:
  fake::Device& device_;
  Driver driver_;
};

constexpr uint32_t kVsock = 19;  // virtio 1.2 §5.10

// The kernel behind a vhost-vsock device: it carries packets, or is about to refuse a request.
void from_the_kernel(Input& input) {
  const uint8_t what = input.number<uint8_t>();
  if (what & 1) fake_vhost_walk();
  if (what & 2) fake_vhost_refuse(what >> 2);
}

// The other side of what stands behind the devices.
void from_behind(Devices& devices, Input& input) {
  for (fake::Device& device : devices.all()) {
    fake::BackEnds& behind = *device.instance().back_ends;
    for (nacre_block& block : behind.blocks) block.failing = input.below(4) == 0;
    for (nacre_chardev& chardev : behind.chardevs) {
      const uint8_t what = input.number<uint8_t>();
      chardev.input += input.text(what & 63);
      if (what & 64 && chardev.events.readable) chardev.events.readable(chardev.opaque);
      if (what & 128 && chardev.events.writable) chardev.events.writable(chardev.opaque);
    }
    if (nacre_balloon* balloon = device.instance().balloon.get()) {
      balloon->ops.set_target(balloon->self, uint64_t{input.number<uint16_t>()} << 12);
      uint64_t actual = 0;
      (void)balloon->ops.actual(balloon->self, &actual);
      nacre_balloon_stats stats{};
      stats.size = sizeof stats;
      balloon->ops.stats(balloon->self, &stats);
    }
    for (nacre_net& net : behind.nets) {
      const auto frame = input.take(input.below(300));
      net.frames.emplace_back(frame.begin(), frame.end());
      if (net.announce && input.below(16) == 0) net.announce(net.announce_opaque);
      ::eventfd_write(net.fd, 1);
    }
    const nacre_instance& instance = device.instance();
    if (instance.virtio && instance.virtio->device_id == kVsock) from_the_kernel(input);
    if (instance.memory_changed && input.below(4) == 0) instance.memory_changed(instance.memory_changed_opaque);
  }
}

}  // namespace

void run(Input& input) {
  Devices devices;
  fake::Device& first = devices.first();
  nacre_instance& instance = first.instance();
  {
    std::unique_ptr<Rings> rings;
    if (instance.virtio) rings = std::make_unique<Rings>(first);
    for (int step = 0; step < 100 && !input.empty(); ++step) {
      const uint32_t what = input.below(16);
      // What is made of rings comes to nothing where there are none.
      if (!rings && what < 8) {
        access_registers(devices, input);
        continue;
      }
      switch (what) {
        case 0:
          rings->activate(input);
          break;
        case 1:
        case 2:
          rings->request(input);
          break;
        case 3:
          rings->describe(input);
          break;
        case 4:
          rings->offer(input);
          break;
        case 5:
          if (input.below(4) == 0) rings->reset();
          break;
        case 6: {
          nacre_virtio& virtio = *instance.virtio;
          const size_t size = virtio.config.size();
          if (!size || !virtio.ops.config_written) break;
          const uint32_t offset = input.below(static_cast<uint32_t>(size));
          const auto bytes = input.take(std::min<size_t>(1u << input.below(4), size - offset));
          if (bytes.empty()) break;
          std::copy(bytes.begin(), bytes.end(), virtio.config.begin() + offset);
          virtio.ops.config_written(virtio.self, offset, bytes.data(), static_cast<uint32_t>(bytes.size()));
          break;
        }
        case 7: {  // anywhere in what the rings and buffers are made of
          const uint64_t at =
              input.below(2) ? fake::kBuffers + input.number<uint16_t>() : input.number<uint32_t>() % fake::kBuffers;
          const auto bytes = input.take(input.below(32));
          std::copy(bytes.begin(), bytes.end(), first.memory().at(at, 64));
          break;
        }
        case 8:
        case 9:
          access_registers(devices, input);
          break;
        case 10:
          if (!instance.pci) break;
          instance.pci->write_config(input.number<uint16_t>() % 4096, 1u << input.below(3), input.number<uint32_t>());
          if (input.below(8) == 0) instance.pci->enable();
          break;
        case 11:
        case 12:
          from_behind(devices, input);
          break;
        case 13:
          for (fake::Device& device : devices.all()) {
            device.quiesce();
            device.resume();
          }
          break;
        case 14:
          first.loop().let_pass(std::chrono::milliseconds(input.number<uint16_t>()));
          break;
        case 15:
          if (!instance.virtio && input.below(4) == 0) first.reset();
          break;
      }
      if (what & 1) devices.serve();
    }
    devices.serve();
  }
  devices.serve();
  fake_vhost_refuse(0);
  devices.end();
  require(!kernel_runs, "a device that is gone has taken its rings back from the kernel");
}

}  // namespace nacre::fuzz
