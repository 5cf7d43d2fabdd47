// virtio-balloon: memory that the guest gives back to the host while it runs (virtio 1.2 §5.5).
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <nacre/balloon.hpp>
#include <nacre/virtio_device.hpp>
#include <optional>
#include <vector>

#include "balloon_queue.hpp"
#include "balloon_stats.hpp"
#include "page_runs.hpp"

namespace nacre::virtio_balloon {
namespace {

constexpr uint64_t kSecond = 1000000000;
// From the guest's first word about a change to the event: what it does in one go is one event.
constexpr uint64_t kEventDelay = kSecond;
constexpr size_t kFramesAtOnce = 4096;
// Linux sends 256 page numbers at a time, Windows 1024.
constexpr uint64_t kMaxFrames = 65536;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_BOOL,
     .name = "deflate-on-oom",
     .help = "the guest takes memory back by itself before it would kill processes",
     .default_text = "false"},
    {.type = NACRE_PROP_BOOL,
     .name = "free-page-reporting",
     .help = "the guest tells which memory it does not use, and the host takes it until the guest uses it again",
     .default_text = "false"},
    {.type = NACRE_PROP_BOOL,
     .name = "auto-balloon",
     .help = "a guest whose driver can (StratoVirt's) settles the balloon's size by itself",
     .default_text = "false"},
    {.type = NACRE_PROP_U64,
     .name = "membuf-percent",
     .help = "with auto-balloon: how much of its memory the guest keeps free, 20 to 80",
     .default_text = "50",
     .max = 100},
    {.type = NACRE_PROP_U64,
     .name = "monitor-interval",
     .help = "with auto-balloon: seconds between the guest's looks at its memory, 5 to 300",
     .default_text = "10",
     .max = 86400},
    {.type = NACRE_PROP_BOOL,
     .name = "statistics",
     .help = "the guest tells of its memory when query-balloon-stats asks",
     .default_text = "false"},
    {.type = NACRE_PROP_U64,
     .name = "stats-interval",
     .help = "seconds between statistics that come by themselves; 0: only those that are asked for",
     .default_text = "0",
     .max = 86400},
};

class VirtioBalloon : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  sdk::Status realize(nacre_error* slot) override {
    if (sdk::Status set = set_auto(); !set) return set;
    const nacre_memory_view* raw = host.memory->acquire(instance());
    const sdk::MemoryView view(raw);
    uint64_t ram = 0;
    clip_to_ram(0, UINT64_MAX, view, [&](uint64_t, uint64_t length) { ram += length; });
    host.memory->release(instance(), raw);
    ram_pages_ = ram / kPageSize;

    nacre_loop* loop = host.loop->of(instance());
    sdk::Status made = event_timer_.start(loop, on_event_due, this, slot);
    if (made) made = stats_timer_.start(loop, on_stats_due, this, slot);
    if (made) made = balloon_.attach(instance(), kOps, this, slot);
    if (!made) return made;

    uint64_t features = 0;
    if (flag("deflate-on-oom")) features |= bit(kDeflateOnOom);
    if (flag("statistics") || *u64("stats-interval")) features |= bit(kStatsVq);
    if (flag("free-page-reporting")) features |= bit(kReporting);
    if (flag("auto-balloon")) features |= bit(kMessageVq);
    const uint64_t with_queue = features & (bit(kStatsVq) | bit(kReporting) | bit(kMessageVq));
    const std::vector<uint16_t> sizes(2 + static_cast<size_t>(std::popcount(with_queue)), kQueueSize);
    frames_.resize(kFramesAtOnce);
    return attach(kDeviceId, features, sizes, {reinterpret_cast<const uint8_t*>(&config_), config_bytes()}, slot);
  }

  void unrealize() override {
    detach();
    balloon_.detach();
    event_timer_.stop();
    stats_timer_.stop();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override {
    held_ = host.memory->acquire(instance());
    memory_ = sdk::MemoryView(held_);
    // §5.5.2, as drivers number them: a queue whose feature was not negotiated takes no number.
    uint32_t index = 0;
    sdk::Status started = start(inflate_, on_inflate, activation, index++, slot);
    if (started) started = start(deflate_, on_deflate, activation, index++, slot);
    if (started && activation.has(kStatsVq)) started = start(stats_queue_, on_stats, activation, index++, slot);
    if (started && activation.has(kReporting)) started = start(reporting_, on_report, activation, index++, slot);
    if (started && activation.has(kMessageVq)) started = start(messages_, on_message, activation, index++, slot);
    if (!started) {
      deactivate();
      return started;
    }
    active_ = true;
    if (uint64_t interval = u64("stats-interval").value_or(0)) stats_timer_.arm(interval * kSecond);
    return {};
  }

  void deactivate() override {
    active_ = false;
    stats_timer_.disarm();
    event_timer_.disarm();
    event_due_ = false;
    inflate_.reset();
    deflate_.reset();
    stats_queue_.reset();
    reporting_.reset();
    messages_.reset();
    stats_ = {};
    stats_head_.reset();
    // A driver that begins again has given nothing; what it is asked for stays.
    config_.actual = 0;
    set_config(0, &config_, config_bytes(), false);
    if (held_) host.memory->release(instance(), held_);
    held_ = nullptr;
    memory_ = {};
  }

  void config_written(uint32_t offset, std::span<const uint8_t> data) override {
    Config written = config_;
    if (offset > config_bytes() || data.size() > config_bytes() - offset) return;
    std::memcpy(reinterpret_cast<uint8_t*>(&written) + offset, data.data(), data.size());
    // The driver may write `actual` only (§5.5.4), and has no more to give than there is.
    const auto actual = static_cast<uint32_t>(std::min<uint64_t>(written.actual, ram_pages_));
    const bool changed = actual != config_.actual;
    config_.actual = actual;
    set_config(0, &config_, config_bytes(), false);
    if (!active_ || !changed || event_due_) return;
    event_due_ = true;
    event_timer_.arm(kEventDelay);
  }

 private:
  using Queue = std::optional<BalloonQueue>;
  using Handled = BalloonQueue::Handled;

  static constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }
  // Such a driver reads in the configuration what it shall keep to.
  sdk::Status set_auto() {
    if (!flag("auto-balloon")) return {};
    config_.membuf_percent = static_cast<uint32_t>(*u64("membuf-percent"));
    config_.monitor_interval = static_cast<uint32_t>(*u64("monitor-interval"));
    if (config_.membuf_percent < 20 || config_.membuf_percent > 80)
      return sdk::fail("membuf-percent cannot be ", std::to_string(config_.membuf_percent),
                       ": with auto-balloon it is 20 to 80");
    if (config_.monitor_interval < 5 || config_.monitor_interval > 300)
      return sdk::fail("monitor-interval cannot be ", std::to_string(config_.monitor_interval),
                       ": with auto-balloon it is 5 to 300 seconds");
    return {};
  }
  uint32_t config_bytes() const { return flag("auto-balloon") ? uint32_t{sizeof(Config)} : kPlainConfig; }

  static VirtioBalloon* of(void* self) { return static_cast<VirtioBalloon*>(self); }

  sdk::Status start(Queue& queue, BalloonQueue::Handle handle, const sdk::VirtioActivation& activation, uint32_t index,
                    nacre_error* slot) {
    if (index >= activation.n_queues() || !activation.queue(index).ready) return {};
    queue.emplace(
        handle, [](void* self, const char* why) { of(self)->needs_reset(why); }, this);
    return queue->start(activation.queue(index), memory_, activation.features(), host.loop->of(instance()), slot);
  }

  void discard(uint64_t gpa, uint64_t length) {
    // What the host keeps, the guest only loses the benefit of.
    (void)host.memory->discard(instance(), gpa, length);
  }

  Handled inflate(sdk::IoVector numbers) {
    const uint64_t count = numbers.length() / sizeof(uint32_t);
    if (count > kMaxFrames) return {.wrong = "a balloon request has more than 65536 page numbers"};
    for (uint64_t left = count; left > 0;) {
      const auto now = static_cast<size_t>(std::min<uint64_t>(left, frames_.size()));
      numbers.take_front(frames_.data(), now * sizeof(uint32_t));
      left -= now;
      for_each_run({frames_.data(), now}, memory_, [this](uint64_t gpa, uint64_t length) { discard(gpa, length); });
    }
    return {.pages = count};
  }

  // Free memory as the guest sees it: the buffers themselves (§5.5.6.6).
  Handled report(const sdk::IoVector& buffers) {
    for (uint32_t i = 0; i < buffers.count(); ++i) {
      const iovec& buffer = buffers.data()[i];
      const auto* begin = static_cast<const uint8_t*>(buffer.iov_base);
      for (uint32_t n = 0; n < memory_.size(); ++n) {
        const nacre_memory_region& region = memory_[n];
        if (region.hva && begin >= region.hva && begin < region.hva + region.len)
          discard(region.gpa + static_cast<uint64_t>(begin - region.hva), buffer.iov_len);
      }
    }
    return {.pages = buffers.length() / kPageSize};
  }

  // The driver gives a buffer with statistics and waits until it comes back to fill it again (§5.5.6.3).
  Handled take_stats(sdk::DescriptorChain& chain) {
    stats_ = parse_stats(chain.readable, sdk::now(NACRE_CLOCK_REALTIME) / 1'000'000'000);
    // It should have but one; it gets the other back.
    if (stats_head_) stats_queue_->give_back(*stats_head_);
    stats_head_ = chain.head;
    return {.keep = true};
  }
  void ask_for_stats() {
    if (!stats_head_) return;
    stats_queue_->give_back(*stats_head_);
    stats_head_.reset();
  }

  static Handled on_inflate(void* self, sdk::DescriptorChain& chain) { return of(self)->inflate(chain.readable); }
  // Pages that the guest takes back are there when it touches them: nothing is to be done.
  static Handled on_deflate(void*, sdk::DescriptorChain&) { return {}; }
  static Handled on_stats(void* self, sdk::DescriptorChain& chain) { return of(self)->take_stats(chain); }
  // What a driver says there changes nothing: the balloon's size is what it writes to `actual`.
  static Handled on_message(void*, sdk::DescriptorChain&) { return {}; }
  static Handled on_report(void* self, sdk::DescriptorChain& chain) { return of(self)->report(chain.writable); }

  uint64_t actual_bytes() const { return (ram_pages_ - config_.actual) * kPageSize; }

  static void on_event_due(void* self) noexcept {
    of(self)->event_due_ = false;
    of(self)->balloon_.changed(of(self)->actual_bytes());
  }
  static void on_stats_due(void* self) noexcept {
    of(self)->ask_for_stats();
    of(self)->stats_timer_.arm(*of(self)->u64("stats-interval") * kSecond);
  }

  static nacre_status set_target(void* self, uint64_t bytes) noexcept {
    VirtioBalloon& device = *of(self);
    if (!device.active_) return NACRE_NOT_FOUND;
    const uint64_t ram = device.ram_pages_ * kPageSize;
    device.config_.num_pages = static_cast<uint32_t>((ram - std::min(bytes, ram)) / kPageSize);
    device.set_config(0, &device.config_.num_pages, sizeof device.config_.num_pages, true);
    return NACRE_OK;
  }
  static nacre_status actual(void* self, uint64_t* bytes) noexcept {
    if (!of(self)->active_) return NACRE_NOT_FOUND;
    *bytes = of(self)->actual_bytes();
    return NACRE_OK;
  }
  static nacre_status stats(void* self, nacre_balloon_stats* stats) noexcept {
    VirtioBalloon& device = *of(self);
    if (!device.active_) return NACRE_NOT_FOUND;
    if (!device.stats_queue_) return NACRE_UNSUPPORTED;
    const uint32_t size = std::min<uint32_t>(stats->size, sizeof device.stats_);
    std::memcpy(stats, &device.stats_, size);
    stats->size = size;
    device.ask_for_stats();
    return NACRE_OK;
  }
  static constexpr nacre_balloon_ops kOps{sizeof(nacre_balloon_ops), 0, set_target, actual, stats};
  static constexpr const sdk::Host& host = sdk::host;

  uint64_t ram_pages_ = 0;
  Config config_{};
  bool active_ = false;
  sdk::Balloon balloon_;
  sdk::Timer event_timer_, stats_timer_;
  bool event_due_ = false;

  const nacre_memory_view* held_ = nullptr;
  sdk::MemoryView memory_;
  std::vector<uint32_t> frames_;  // room for the page numbers of a request
  Queue inflate_, deflate_, stats_queue_, reporting_, messages_;
  nacre_balloon_stats stats_{};
  std::optional<uint16_t> stats_head_;  // the driver's buffer, while it waits
};

constexpr nacre_type kType =
    sdk::device_type<VirtioBalloon>("virtio-balloon-device", "virtio", "memory that the guest gives back", kProps);

}  // namespace
}  // namespace nacre::virtio_balloon

NACRE_PLUGIN(&nacre::virtio_balloon::kType);
