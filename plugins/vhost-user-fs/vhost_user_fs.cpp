// vhost-user-fs: a directory of the host (virtio 1.2 §5.11), served by another process such as virtiofsd.
#include <algorithm>
#include <nacre/chardev.hpp>
#include <nacre/loop.hpp>
#include <nacre/vhost_user.hpp>
#include <nacre/virtio_device.hpp>
#include <vector>

namespace nacre::vhost_user_fs {
namespace {

constexpr uint32_t kDeviceId = 26;
constexpr size_t kTagBytes = 36;

constexpr uint64_t bit(unsigned n) {
  return uint64_t{1} << n;
}
// What we hand on of the back end's: indirect descriptors and event index. The type has no feature that we offer.
constexpr uint64_t kOffered = bit(28) | bit(29);
constexpr uint64_t kVersion1 = bit(32);

struct Config {  // §5.11.4
  char tag[kTagBytes];
  uint32_t num_request_queues;
};
static_assert(sizeof(Config) == 40);

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "chardev",
     .help = "the Unix socket at which the back end, such as virtiofsd, listens",
     .node_kind = "chardev"},
    {.type = NACRE_PROP_STRING,
     .flags = NACRE_PROP_REQUIRED,
     .name = "tag",
     .help = "the name that the guest mounts it by, 1 to 35 bytes",
     .min = 1,
     .max = kTagBytes - 1},
    {.type = NACRE_PROP_U64,
     .name = "num-request-queues",
     .help = "number of request queues",
     .default_text = "1",
     .min = 1,
     .max = 64},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "queue-size",
     .help = "entries of each queue, a power of two",
     .default_text = "128",
     .min = 2,
     .max = 1024},
};

// On the main thread, which is its loop.
class VhostUserFs : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  sdk::Status realize(nacre_error* slot) override {
    if (!memory_is_shared())
      return sdk::fail(
          "When configuring the vhost-user-fs-device or vhost-user-fs-pci device, the memory must be shared.");
    sdk::Result<int> socket = wire_.connect(instance(), text("chardev"), slot);
    if (!socket) return socket.error();
    back_end_ = sdk::VhostUser(*socket);
    if (sdk::Status begun = back_end_.begin(); !begun) return begun;
    const uint64_t queues = 1 + *u64("num-request-queues");
    if (back_end_.max_queues() && queues > back_end_.max_queues())
      return sdk::fail("the back end serves ", std::to_string(back_end_.max_queues()),
                       " queues, and one is for urgent requests; make num-request-queues smaller.");
    sdk::Status watched = gone_.start(
        sdk::host.loop->of(instance()), back_end_.fd(), NACRE_LOOP_READ,
        [](void* self) noexcept { static_cast<VhostUserFs*>(self)->lost(); }, this, slot);
    if (!watched) return watched;
    Config config{};
    const char* tag = text("tag");
    std::copy_n(tag, std::min(std::strlen(tag), kTagBytes - 1), config.tag);
    config.num_request_queues = static_cast<uint32_t>(queues - 1);
    const std::vector<uint16_t> sizes(queues, static_cast<uint16_t>(*u64("queue-size")));
    sdk::Status attached = attach(kDeviceId, back_end_.features() & kOffered, sizes,
                                  {reinterpret_cast<const uint8_t*>(&config), sizeof config}, slot);
    if (!attached) return attached;
    (void)sdk::host.memory->on_change(
        instance(), [](void* self) noexcept { static_cast<VhostUserFs*>(self)->memory_changed(); }, this);
    return {};
  }

  void unrealize() override {
    (void)sdk::host.memory->on_change(instance(), nullptr, nullptr);
    gone_.stop();
    back_end_.close();
    wire_.close();
    detach();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error*) override {
    memory_ = sdk::host.memory->acquire(instance());
    sdk::Status started = start(activation);
    if (!started) deactivate();
    return started;
  }

  void deactivate() override {
    // A back end that is gone needs no asking; one that does not answer is asked once.
    for (uint32_t index : started_)
      if (back_end_.alive()) (void)back_end_.stop_ring(index);
    started_.clear();
    if (memory_) sdk::host.memory->release(instance(), memory_);
    memory_ = nullptr;
  }

 private:
  bool memory_is_shared() const {
    const nacre_memory_view* now = sdk::host.memory->acquire(instance());
    const sdk::MemoryView view(now);
    bool shared = true;
    for (uint32_t i = 0; i < view.size(); ++i) shared = shared && (!view[i].hva || view[i].fd >= 0);
    sdk::host.memory->release(instance(), now);
    return shared;
  }

  sdk::Status start(const sdk::VirtioActivation& activation) {
    const sdk::MemoryView memory(memory_);
    const uint64_t accepted = activation.features() & back_end_.features() & (kOffered | kVersion1);
    if (sdk::Status prepared = back_end_.prepare(accepted, memory); !prepared) return prepared;
    for (uint32_t i = 0; i < activation.n_queues(); ++i) {
      const nacre_virtqueue& queue = activation.queue(i);
      if (!queue.ready) continue;
      if (sdk::Status ring = back_end_.start_ring(i, queue, memory); !ring) return ring;
      started_.push_back(i);
    }
    return {};
  }

  // The socket is readable outside of a request: its other end has gone, or says what nobody has asked.
  void lost() {
    gone_.stop();
    back_end_.lose();
    needs_reset("its vhost-user back end has gone; start it anew, and this virtual machine too");
  }

  void memory_changed() {
    if (started_.empty() || !back_end_.alive()) return;
    const nacre_memory_view* now = sdk::host.memory->acquire(instance());
    if (sdk::Status told = back_end_.set_memory(sdk::MemoryView(now)); !told) needs_reset(told.error().message.c_str());
    sdk::host.memory->release(instance(), memory_);
    memory_ = now;
  }

  sdk::Chardev wire_;
  sdk::VhostUser back_end_;
  sdk::Watch gone_;  // after back_end_, whose descriptor it watches
  const nacre_memory_view* memory_ = nullptr;
  std::vector<uint32_t> started_;  // rings that the back end has
};

constexpr nacre_type kType = sdk::device_type<VhostUserFs>("vhost-user-fs-device", "virtio",
                                                           "a directory of the host, served by virtiofsd", kProps);

}  // namespace
}  // namespace nacre::vhost_user_fs

NACRE_PLUGIN(&nacre::vhost_user_fs::kType);
