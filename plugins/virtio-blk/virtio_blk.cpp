// virtio-blk: a disk (virtio 1.2 §5.2) on whatever transport the machine has.
#include <algorithm>
#include <nacre/virtio_device.hpp>

#include "blk_queue.hpp"

namespace nacre::virtio_blk {
namespace {

constexpr uint16_t kMaxQueueSize = 1024;
constexpr uint32_t kMaxQueues = 32;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "drive",
     .help = "the disk: id of a -drive, or node name of a blockdev-add",
     .node_kind = "block"},
    {.type = NACRE_PROP_STRING, .name = "serial", .help = "serial number that the guest reads", .max = kIdBytes},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_PER_VCPU,
     .name = "num-queues",
     .help = "number of request queues",
     .default_text = "1",
     .min = 1,
     .max = kMaxQueues},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "queue-size",
     .help = "entries of each queue, a power of two",
     .default_text = "256",
     .min = 4,
     .max = kMaxQueueSize},
    {.type = NACRE_PROP_NODE,
     .name = "iothread",
     .help = "the -object iothread that serves this disk; the main thread otherwise",
     .node_kind = "iothread"},
    {.type = NACRE_PROP_U64,
     .name = "bootindex",
     .help = "place in the order in which firmware on PCI tries the disks, the lowest first; each disk its own",
     .max = 255},
};

class VirtioBlk : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  sdk::Status realize(nacre_error* slot) override {
    nacre_block_info info{};
    if (const char* drive = text("drive")) {
      if (sdk::Status opened = block_.open(instance(), drive, on_completed, this, slot); !opened) return opened;
      info = block_.info();
      if (const char* serial = text("serial"))
        std::copy_n(serial, std::min<size_t>(strlen(serial), kIdBytes), disk_.id);
    }
    disk_.present = block_.is_open();
    uint32_t n_queues = static_cast<uint32_t>(*u64("num-queues"));
    uint16_t queue_size = static_cast<uint16_t>(*u64("queue-size"));

    disk_.capacity = info.capacity / kSectorSize * kSectorSize;
    disk_.readonly = info.readonly;

    uint64_t features = bit(sdk::kVirtioRingIndirectDesc) | bit(sdk::kVirtioRingEventIdx) | bit(kFlush) | bit(kSegMax);
    if (info.readonly) features |= bit(kRo);
    if (n_queues > 1) features |= bit(kMq);
    if (info.discard && !info.readonly) features |= bit(kDiscard);
    if (info.write_zeroes && !info.readonly) features |= bit(kWriteZeroes);

    Config config{};
    config.capacity = disk_.capacity / kSectorSize;
    config.seg_max = queue_size - 2u;
    config.num_queues = static_cast<uint16_t>(n_queues);
    if (features & bit(kDiscard)) {
      config.max_discard_sectors = kMaxSegmentSectors;
      config.max_discard_seg = 1;
      config.discard_sector_alignment = 1;
    }
    if (features & bit(kWriteZeroes)) {
      config.max_write_zeroes_sectors = kMaxSegmentSectors;
      config.max_write_zeroes_seg = 1;
      config.write_zeroes_may_unmap = 1;
    }
    std::vector<uint16_t> sizes(n_queues, queue_size);
    return attach(kDeviceId, features, sizes, {reinterpret_cast<const uint8_t*>(&config), sizeof config}, slot);
  }

  void unrealize() override {
    detach();
    block_.close();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override {
    memory_ = host.memory->acquire(instance());
    disk_.discard = activation.has(kDiscard);
    disk_.write_zeroes = activation.has(kWriteZeroes);
    nacre_loop* loop = host.loop->of(instance());
    for (uint32_t i = 0; i < activation.n_queues(); ++i) {
      const nacre_virtqueue& queue = activation.queue(i);
      if (!queue.ready) continue;
      queues_.push_back(std::make_unique<BlkQueue>(block_, disk_, !activation.has(kFlush), on_broken, this));
      sdk::Status started = queues_.back()->start(queue, sdk::MemoryView(memory_), activation.features(), loop, slot);
      if (!started) {
        deactivate();
        return started;
      }
    }
    return {};
  }

  void deactivate() override {
    for (auto& queue : queues_) queue->stop();
    block_.drain();
    queues_.clear();
    if (memory_) host.memory->release(instance(), memory_);
    memory_ = nullptr;
  }

  void quiesce(nacre_callback done, void* opaque) override {
    block_.drain();
    done(opaque);
  }

 private:
  static constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }

  static void on_completed(void*, nacre_block_request* const* requests, uint32_t n) noexcept {
    BlkQueue* last = nullptr;
    for (uint32_t i = 0; i < n; ++i) {
      auto& request = *reinterpret_cast<Request*>(requests[i]);
      BlkQueue& queue = BlkQueue::of(request);
      if (last && last != &queue) last->publish();
      last = &queue;
      queue.completed(request);
    }
    if (last) last->publish();
  }
  static void on_broken(void* self, const char* why) { static_cast<VirtioBlk*>(self)->needs_reset(why); }

  sdk::Block block_;
  DiskFacts disk_;
  const nacre_memory_view* memory_ = nullptr;
  std::vector<std::unique_ptr<BlkQueue>> queues_;

  static constexpr const sdk::Host& host = sdk::host;
};

constexpr const char* kAliases[] = {"virtio-blk-mmio", nullptr};
constexpr nacre_type kType =
    sdk::device_type<VirtioBlk>("virtio-blk-device", "virtio", "a disk", kProps, NACRE_TYPE_HOTPLUGGABLE, 0, kAliases);

}  // namespace
}  // namespace nacre::virtio_blk

NACRE_PLUGIN(&nacre::virtio_blk::kType);
