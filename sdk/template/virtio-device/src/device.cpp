// A virtio entropy device (virtio 1.2 §5.4) whose bytes count up, so that a guest's /dev/hwrng shows who made them.
#include <array>
#include <nacre/loop.hpp>
#include <nacre/virtio_device.hpp>
#include <nacre/virtqueue.hpp>

namespace {

using namespace nacre::sdk;

constexpr uint32_t kDeviceId = 4;  // what the guest's driver goes by
constexpr uint16_t kQueueSize = 64;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64, .name = "first", .help = "the first byte", .default_text = "0", .max = 255},
};

class @Class@ : public VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  Status realize(nacre_error* slot) override {
    next_ = static_cast<uint8_t>(u64("first").value_or(0));
    Status timer = later_.start(host.loop->of(instance()), on_work, this, slot);
    return timer ? attach(kDeviceId, 0, {&kQueueSize, 1}, {}, slot) : timer;
  }
  Status activate(const VirtioActivation& driver, nacre_error* slot) override {
    const nacre_virtqueue& queue = driver.queue(0);
    if (!queue.ready) return {};
    memory_ = host.memory->acquire(instance());
    Status started = fail("the queue is not in memory");
    if (ring_.start(queue, MemoryView(memory_), driver.features()))
      started = kick_.start(host.loop->of(instance()), queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_work, this, slot);
    if (!started) deactivate();
    return started;
  }
  void deactivate() override {
    kick_.stop();
    later_.disarm();
    if (memory_) host.memory->release(instance(), std::exchange(memory_, nullptr));
  }

 private:
  static void on_work(void* self) noexcept { static_cast<@Class@*>(self)->work(); }

  // Answers at most a ring full of requests: the loop has other devices to serve, the timer brings it back.
  void work() {
    uint32_t left = ring_.num();
    for (DescriptorChain chain; left > 0;) {
      const Virtqueue::Pop popped = ring_.pop(chain, buffers_.data(), kQueueSize);
      if (popped == Virtqueue::Pop::Broken) return kick_.stop(), needs_reset(ring_.broken());
      if (popped == Virtqueue::Pop::Empty && !ring_.rearm()) break;
      if (popped == Virtqueue::Pop::Chain) ring_.push(chain.head, fill(chain.writable)), --left;
    }
    ring_.publish();
    if (left == 0) later_.arm(1);
  }
  uint32_t fill(IoVector& buffer) {
    std::array<uint8_t, 256> bytes;
    for (uint8_t& byte : bytes) byte = next_++;
    return static_cast<uint32_t>(buffer.put_front(bytes.data(), bytes.size()));
  }

  uint8_t next_ = 0;
  const nacre_memory_view* memory_ = nullptr;
  Virtqueue ring_;
  std::array<iovec, kQueueSize> buffers_;
  Watch kick_;
  Timer later_;
};

constexpr nacre_type kType = device_type<@Class@>("@name@", "virtio", "counting bytes as a source of entropy", kProps);

}  // namespace

NACRE_PLUGIN(&kType);
