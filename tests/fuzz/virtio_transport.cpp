// The registers of virtio devices, in a slot of memory and as a PCI function: whatever a driver writes, and in
// whichever order, a device is only activated with rings that lie in memory.
#include <bit>

#include "core/virtio/mmio_transport.hpp"
#include "core/virtio/pci_transport.hpp"
#include "core/virtio/recorder.hpp"
#include "tests/fuzz/pci_bench.hpp"

namespace nacre::fuzz {
namespace {

using namespace virtio;

constexpr uint64_t kRam = 1 << 20;

// The device behind either transport, and what it is promised (sdk/abi/nacre/abi/virtio.h).
class Watched {
 public:
  explicit Watched(EventLoop& loop) : ram_(std::move(*GuestMemory::create(kRam, {}))) {
    require(bool(ram_->place(0, kRam)), "there is memory");
    device_ = recorder_.make(loop);
  }
  GuestMemory& ram() { return *ram_; }
  VirtioDevice& device() { return *device_; }

  void require_promises() {
    if (std::exchange(seen_, recorder_.activations) == recorder_.activations) return;
    require(recorder_.activations >= recorder_.resets, "a reset comes after an activation");
    require((recorder_.features & ~(5 | 1ull << kFeatureVersion1)) == 0,
            "features are offered before they are agreed on");
    require(recorder_.queues.size() == 2, "a device gets all its queues");
    for (const nacre_virtqueue& queue : recorder_.queues) {
      if (!queue.ready) continue;
      require(std::has_single_bit(queue.num) && queue.num <= device_->queue_sizes()[queue.index],
              "a queue has a size that was offered");
      require(queue.desc % 16 == 0 && queue.avail % 2 == 0 && queue.used % 4 == 0, "a queue's parts are aligned");
      auto in_ram = [](uint64_t at, uint64_t length) { return at < kRam && length <= kRam - at; };
      require(in_ram(queue.desc, 16u * queue.num) && in_ram(queue.avail, 6 + 2u * queue.num) &&
                  in_ram(queue.used, 6 + 8u * queue.num),
              "a queue's parts lie in memory");
    }
  }
  // What the device does by itself.
  void act(Input& input) {
    recorder_.answer = input.below(8) == 0 ? NACRE_INVALID : NACRE_OK;
    const uint8_t what = input.number<uint8_t>();
    const uint64_t bytes = input.number<uint64_t>();
    if (what & 1) device_->set_config(what >> 4 & 7, &bytes, 1, what & 2);
    if (what & 4 && what & 8) device_->needs_reset("the input says so");
    if (what & 8)
      for (const nacre_virtqueue& queue : recorder_.queues)
        if (queue.ready && recorder_.activations > recorder_.resets) queue.interrupt(queue.interrupt_opaque);
  }

 private:
  std::unique_ptr<GuestMemory> ram_;
  Recorder recorder_;
  std::unique_ptr<VirtioDevice> device_;
  int seen_ = 0;
};

// A value that a driver writes: flags and small numbers, addresses in memory, anything.
uint64_t value(Input& input) {
  const uint8_t kind = input.number<uint8_t>();
  if (kind < 128) return kind & 15;
  if (kind < 192) return uint64_t{input.number<uint16_t>()} << 4;
  return input.number<uint64_t>();
}

void run_mmio(Input& input) {
  const std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  Watched watched(*loop);
  alignas(8) uint8_t window[kMmioSlotBytes] = {};
  MmioTransport transport(nullptr, watched.ram(), window, 0xf0100000);
  require(bool(transport.plug(watched.device(), 5)), "a device can be plugged in");
  // The order of a driver that knows its way; the input changes and leaves out.
  static constexpr uint32_t kRegisters[] = {0x70, 0x14, 0x24, 0x20, 0x30, 0x38, 0x80, 0x84,
                                            0x90, 0x94, 0xa0, 0xa4, 0x44, 0x50, 0x64, 0x100};
  for (int step = 0; step < 200 && !input.empty(); ++step) {
    const uint8_t what = input.number<uint8_t>();
    if (what < 224) {
      const uint32_t offset = what & 32 ? input.number<uint16_t>() % 0x210 : kRegisters[what & 15];
      transport.write(offset, what & 64 ? 1u << (what >> 3 & 3) : 4, value(input));
    } else if (what < 250) {
      watched.act(input);
    } else {
      transport.reset();
    }
    watched.require_promises();
  }
  transport.unplug();
}

class PciRun : public PciBench {
 public:
  void run(Input& input) {
    Watched watched(*loop_);
    const std::unique_ptr<PciTransport> transport =
        std::move(*PciTransport::create(*host_, watched.ram(), watched.device()));
    transport->plug(host_->root(), 1 << 3);
    write(0, 1 << 3, pci::kBar0 + 4, 4, kMemory);
    write(0, 1 << 3, pci::kBar0 + 8, 4, kMemory + 0x10000);
    write(0, 1 << 3, pci::kCommand, 2, pci::kMemoryDecode | pci::kBusMaster);
    for (int step = 0; step < 200 && !input.empty(); ++step) {
      const uint8_t what = input.number<uint8_t>();
      const uint32_t width = 1u << (what & 3);
      if (what < 160) {
        const uint64_t at = what & 4 ? input.number<uint16_t>() : input.number<uint8_t>() % 0x40;
        const uint64_t bar = what & 8 && what & 16 ? kMemory : kMemory + 0x10000;
        if (!(what & 32)) memory_->write(0, bar + at, width, value(input));
        (void)memory_->read(0, bar + at, width);
      } else if (what < 192) {
        configure(input);
      } else if (what < 240) {
        watched.act(input);
      } else if (what < 250) {
        serve_posts();
      } else {
        host_->reset();
      }
      watched.require_promises();
    }
    transport->unplug();
  }
};

}  // namespace
}  // namespace nacre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nacre::fuzz::Input input(data, size);
  if (input.number<uint8_t>() & 1)
    nacre::fuzz::run_mmio(input);
  else
    nacre::fuzz::PciRun().run(input);
  return 0;
}
