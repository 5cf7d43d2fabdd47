// virtio-rng: random bytes of the host for the guest (virtio 1.2 §5.4).
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <nacre/loop.hpp>
#include <nacre/virtio_device.hpp>
#include <nacre/virtqueue.hpp>

#include "rate_limit.hpp"

namespace nacre::virtio_rng {
namespace {

constexpr uint32_t kDeviceId = 4;
constexpr uint16_t kQueueSize = 256;
constexpr uint64_t kMaxRequest = 1 << 20;    // bytes; the rest of a longer buffer stays as it is
constexpr uint64_t kBytesPerTurn = 1 << 16;  // then the loop's other callbacks have their turn
constexpr uint64_t kCostOfRequest = 64;      // in bytes, of each request beside what is read
constexpr uint64_t kSourceDry = 10000000;    // nanoseconds until a source that had nothing is asked again

// Of max-bytes and period: bytes a second.
constexpr uint64_t kMinRate = 64;
constexpr uint64_t kMaxRate = 1000000000;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "rng",
     .help = "where the bytes come from: id of an -object rng-random",
     .node_kind = "rng"},
    {.type = NACRE_PROP_U64, .name = "max-bytes", .help = "at most so many bytes in each period", .min = 1},
    {.type = NACRE_PROP_U64,
     .name = "period",
     .help = "of max-bytes, in milliseconds",
     .min = 1,
     .max = uint64_t{1} << 32},
};

class VirtioRng : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  sdk::Status realize(nacre_error* slot) override {
    if (sdk::Status set = set_limit(); !set) return set;
    sdk::Status opened = sdk::ErrorSlot::wrap(slot, "the random source cannot be used", [&](nacre_error* error) {
      return host.rng->open(instance(), text("rng"), &source_, error);
    });
    if (opened) opened = timer_.start(host.loop->of(instance()), on_turn, this, slot);
    if (!opened) return opened;
    return attach(kDeviceId, 0, {&kQueueSize, 1}, {}, slot);
  }

  void unrealize() override {
    detach();
    timer_.stop();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override {
    const nacre_virtqueue& queue = activation.queue(0);
    if (!queue.ready) return {};
    memory_ = host.memory->acquire(instance());
    sdk::Status started = sdk::fail("the queue of the driver is not in memory");
    if (ring_.start(queue, sdk::MemoryView(memory_), activation.features())) {
      buffers_ = std::make_unique_for_overwrite<iovec[]>(queue.num);
      started =
          kick_.start(host.loop->of(instance()), queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_turn, this, slot);
    }
    if (!started) deactivate();
    return started;
  }

  void deactivate() override {
    kick_.stop();
    timer_.disarm();
    in_hand_ = false;
    buffers_.reset();
    if (memory_) host.memory->release(instance(), memory_);
    memory_ = nullptr;
  }

 private:
  sdk::Status set_limit() {
    const auto bytes = u64("max-bytes"), period = u64("period");
    if (!bytes && !period) return {};
    if (!bytes || !period)
      return sdk::fail(bytes ? "max-bytes goes with period: give both or neither"
                             : "period goes with max-bytes: give both or neither");
    uint64_t rate = 0;
    if (__builtin_mul_overflow(*bytes, uint64_t{1000}, &rate)) rate = UINT64_MAX;
    rate /= *period;
    if (rate < kMinRate || rate > kMaxRate)
      return sdk::fail("max-bytes in each period are " + std::to_string(rate) +
                       " bytes a second; it must be from 64 to 1000000000");
    limit_ = RateLimit(*bytes, *period * 1000000);
    return {};
  }

  // Fills what the driver has made available, a bounded number of bytes at a time; the timer calls again for the rest.
  void turn() {
    uint64_t budget = kBytesPerTurn, wait = 0;
    while (budget > 0 && wait == 0 && next()) wait = fill(budget);
    if (!buffers_) return;
    ring_.publish();
    if (budget == 0 && wait == 0) wait = 1;
    if (wait) timer_.arm(wait);
  }

  // True when there is a request in hand; takes the next one off the ring when there was none.
  bool next() {
    using Pop = sdk::Virtqueue::Pop;
    while (buffers_ && !in_hand_) {
      const Pop popped = ring_.pop(chain_, buffers_.get(), ring_.num());
      if (popped == Pop::Broken) broken(ring_.broken());
      if (popped == Pop::Empty && !ring_.rearm()) return false;
      in_hand_ = popped == Pop::Chain;
      wanted_ = std::min(chain_.writable.length(), kMaxRequest);
      written_ = piece_ = piece_written_ = 0;
    }
    return in_hand_;
  }

  // Puts more bytes into the request in hand, and gives it back when it is full or when it has some and the next ones
  // take time: the driver is content with any number above 0 (§5.4.6.1). Returns nanoseconds to wait, 0 for none.
  uint64_t fill(uint64_t& budget) {
    budget -= std::min<uint64_t>(budget, kCostOfRequest);
    uint64_t wait = 0;
    if (written_ < wanted_) {
      iovec& buffer = chain_.writable.data()[piece_];
      uint64_t length = std::min({wanted_ - written_, buffer.iov_len - piece_written_, std::max(budget, uint64_t{1})});
      length = limit_.allowed(length, sdk::now());
      if (length == 0) {
        wait = limit_.wait(sdk::now());
      } else {
        const ssize_t got = ::read(source_, static_cast<uint8_t*>(buffer.iov_base) + piece_written_, length);
        if (got > 0) {
          add(static_cast<uint64_t>(got), buffer.iov_len);
          budget -= std::min(budget, static_cast<uint64_t>(got));
        } else if (got < 0 && errno == EAGAIN) {
          wait = kSourceDry;
        } else if (got == 0 || errno != EINTR) {
          broken(got == 0 ? "its random source has come to its end" : "its random source cannot be read");
          return 0;
        }
      }
    }
    if (written_ == wanted_ || (wait && written_ > 0)) {
      ring_.push(chain_.head, static_cast<uint32_t>(written_));
      in_hand_ = false;
    }
    return wait;
  }

  void add(uint64_t bytes, uint64_t piece_length) {
    limit_.take(bytes);
    written_ += bytes;
    piece_written_ += bytes;
    if (piece_written_ < piece_length) return;
    ++piece_;
    piece_written_ = 0;
  }

  // Only a reset helps.
  void broken(const char* why) {
    kick_.stop();
    in_hand_ = false;
    buffers_.reset();
    needs_reset(why);
  }

  static void on_turn(void* self) noexcept { static_cast<VirtioRng*>(self)->turn(); }

  static constexpr const sdk::Host& host = sdk::host;

  int32_t source_ = -1;
  RateLimit limit_;
  sdk::Timer timer_;

  const nacre_memory_view* memory_ = nullptr;
  sdk::Virtqueue ring_;
  sdk::Watch kick_;
  std::unique_ptr<iovec[]> buffers_;

  // The request in hand.
  bool in_hand_ = false;
  sdk::DescriptorChain chain_;
  uint64_t wanted_ = 0, written_ = 0;  // bytes
  size_t piece_ = 0;                   // the buffer of the chain that comes next
  uint64_t piece_written_ = 0;         // bytes in that buffer
};

constexpr nacre_type kType =
    sdk::device_type<VirtioRng>("virtio-rng-device", "virtio", "a source of random bytes", kProps);

}  // namespace
}  // namespace nacre::virtio_rng

NACRE_PLUGIN(&nacre::virtio_rng::kType);
