// virtio-net: a network interface (virtio 1.2 §5.1) on whatever transport the machine has.
#include <nacre/loop.hpp>
#include <nacre/virtio_device.hpp>
#include <vector>

#include "announcement.hpp"
#include "control_queue.hpp"
#include "default_mac.hpp"
#include "queue_pair.hpp"
#include "vhost_pair.hpp"

namespace nacre::virtio_net {
namespace {

constexpr uint64_t kMaxQueueSize = 4096;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "netdev",
     .help = "the network: id of a -netdev or netdev_add",
     .node_kind = "net"},
    {.type = NACRE_PROP_MAC, .name = "mac", .help = "hardware address; made up when not given"},
    {.type = NACRE_PROP_BOOL,
     .name = "mq",
     .help = "the guest may use as many pairs of queues as the network has",
     .default_text = "off"},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "queue-size",
     .help = "entries of each receive and transmit queue, a power of two",
     .default_text = "256",
     .min = 256,
     .max = kMaxQueueSize},
    {.type = NACRE_PROP_U64,
     .name = "host-mtu",
     .help = "the MTU that the guest is told to use",
     .min = 68,
     .max = 65535},
    {.type = NACRE_PROP_NODE,
     .name = "iothread",
     .help = "the -object iothread that serves this NIC; the main thread otherwise",
     .node_kind = "iothread"},
};
constexpr uint16_t kControlQueueSize = 256;

// What frames may leave undone, as the driver's feature bits say it.
struct Offload {
  uint32_t net;
  unsigned to_driver;
  unsigned from_driver;
};
constexpr Offload kOffloads[] = {{NACRE_NET_CSUM, kGuestCsum, kCsum},
                                 {NACRE_NET_TSO4, kGuestTso4, kHostTso4},
                                 {NACRE_NET_TSO6, kGuestTso6, kHostTso6},
                                 {NACRE_NET_ECN, kGuestEcn, kHostEcn}};

class VirtioNet : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  sdk::Status realize(nacre_error* slot) override {
    nacre_net_info info{};
    info.n_queues = 1;
    // Without a network all that a tap has is offered: one may take this NIC's place while the driver keeps what it has
    // negotiated here.
    info.takes = info.gives = NACRE_NET_CSUM | NACRE_NET_TSO4 | NACRE_NET_TSO6 | NACRE_NET_ECN;
    if (const char* id = text("netdev")) {
      if (sdk::Status opened = net_.open(instance(), id, slot); !opened) return opened;
      info = net_.info();
      net_.on_announce([](void* self) noexcept { static_cast<VirtioNet*>(self)->announce(); }, this);
    }
    max_pairs_ = flag("mq") ? static_cast<uint16_t>(info.n_queues) : uint16_t{1};
    if (sdk::Status owned = own_vhosts(info); !owned) return owned;

    uint64_t features = bit(sdk::kVirtioRingIndirectDesc) | bit(sdk::kVirtioRingEventIdx) | bit(kMac) | bit(kStatus) |
                        bit(kMrgRxbuf) | bit(kCtrlVq) | bit(kCtrlRx) | bit(kCtrlRxExtra) | bit(kCtrlVlan) |
                        bit(kCtrlMacAddr) | bit(kGuestAnnounce);
    for (const Offload& offload : kOffloads) {
      if (info.takes & offload.net) features |= bit(offload.from_driver);
      if (info.gives & offload.net) features |= bit(offload.to_driver);
    }
    if (max_pairs_ > 1) features |= bit(kMq);
    if (std::optional<uint64_t> mtu = u64("host-mtu")) {
      features |= bit(kMtu);
      config_.mtu = static_cast<uint16_t>(*mtu);
    }
    config_.mac = mac_ = own_mac();
    config_.status = net_ ? kLinkUp : 0;
    config_.max_virtqueue_pairs = max_pairs_;

    std::vector<uint16_t> sizes(2u * max_pairs_, static_cast<uint16_t>(*u64("queue-size")));
    sizes.push_back(kControlQueueSize);
    return attach(kDeviceId, features, sizes, config_bytes(), slot);
  }

  void unrealize() override {
    detach();
    net_.close();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override {
    memory_ = host.memory->acquire(instance());
    sdk::Status started = start(activation, slot);
    if (!started) deactivate();
    return started;
  }

  void deactivate() override {
    control_watch_.stop();
    control_.reset();
    pairs_.clear();
    vhosts_.clear();
    if (config_.mac != mac_ || config_.status & kAnnounce) {
      config_.mac = mac_;
      config_.status &= static_cast<uint16_t>(~kAnnounce);
      show_config(false);
    }
    if (memory_) host.memory->release(instance(), memory_);
    memory_ = nullptr;
  }

  // Only the device changes its configuration (§5.1.4.1): what the driver has written into its copy is put right.
  void config_written(uint32_t, std::span<const uint8_t>) override { show_config(false); }

  void quiesce(nacre_callback done, void* opaque) override {
    for (auto& pair : pairs_) pair->pause();
    for (auto& vhost : vhosts_) vhost->stop();
    done(opaque);
  }
  void resume() override {
    for (auto& pair : pairs_) pair->resume();
    if (vhosts_.empty()) return;
    if (sdk::Status used = use_pairs(); !used) needs_reset(used.error().message.c_str());
  }

 private:
  // The kernel serves this process's memory from here on.
  sdk::Status own_vhosts(const nacre_net_info& info) {
    for (uint32_t i = 0; info.vhost && i < info.n_queues; ++i)
      if (sdk::Status owned = sdk::Vhost(net_.vhost_fd(i)).own(); !owned) return owned;
    return {};
  }

  Mac own_mac() {
    const char* given = text("mac");
    if (!given) return default_mac_.take(bool(net_));
    Mac mac{};
    for (size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(std::strtoul(given + 3 * i, nullptr, 16));
    return mac;
  }

  std::span<const uint8_t> config_bytes() const { return {reinterpret_cast<const uint8_t*>(&config_), sizeof config_}; }
  void show_config(bool notify) { set_config(0, &config_, sizeof config_, notify); }

  sdk::Status start(const sdk::VirtioActivation& activation, nacre_error* slot) {
    loop_ = host.loop->of(instance());
    const sdk::MemoryView memory(memory_);
    const uint64_t features = activation.features();
    // §5.1.2: without multiple queues the control queue is the third, however many there could be.
    const uint32_t n_pairs = activation.has(kMq) ? max_pairs_ : 1;
    state_.filter.reset(config_.mac, activation.has(kCtrlVlan));
    state_.features = features;
    state_.max_pairs = static_cast<uint16_t>(n_pairs);
    state_.pairs = 1;
    state_.announce = false;

    if (net_ && !net_.set_offloads(wanted_offloads(activation)))
      return sdk::fail("the network cannot give what the driver has negotiated");
    const bool by_kernel = net_ && net_.info().vhost;
    for (uint32_t i = 0; i < n_pairs && 2 * i + 1 < activation.n_queues(); ++i) {
      const nacre_virtqueue &receive = activation.queue(2 * i), &transmit = activation.queue(2 * i + 1);
      if (!receive.ready || !transmit.ready) continue;
      if (by_kernel) {
        vhosts_.push_back(
            std::make_unique<VhostPair>(net_, i, receive, transmit, memory, features, on_kernel_broken, this));
        continue;
      }
      pairs_.push_back(std::make_unique<QueuePair>(net_, i, state_.filter, pair_events()));
      if (sdk::Status started = pairs_.back()->start(receive, transmit, memory, features, loop_, slot); !started)
        return started;
    }
    if (sdk::Status used = use_pairs(); !used) return used;
    if (!activation.has(kCtrlVq) || 2 * n_pairs >= activation.n_queues()) return {};
    const nacre_virtqueue& control = activation.queue(2 * n_pairs);
    if (!control.ready) return {};
    control_ = std::make_unique<ControlQueue>(state_);
    if (!control_->start(control, memory, features)) return sdk::fail("the control queue is not in memory");
    return control_watch_.start(loop_, control.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_control, this, slot);
  }

  uint32_t wanted_offloads(const sdk::VirtioActivation& activation) const {
    uint32_t offloads = 0;
    for (const Offload& offload : kOffloads)
      if (activation.has(offload.to_driver)) offloads |= offload.net;
    return offloads & net_.info().gives;
  }

  // As many pairs as the driver has asked for, and no more.
  sdk::Status use_pairs() {
    if (!net_) return {};
    for (size_t i = state_.pairs; i < vhosts_.size(); ++i) vhosts_[i]->stop();
    if (!net_.set_queues(state_.pairs)) return sdk::fail("the tap does not attach as many queues as the driver uses");
    for (size_t i = 0; i < vhosts_.size() && i < state_.pairs; ++i)
      if (sdk::Status started = vhosts_[i]->start(loop_, nullptr); !started) return started;
    return {};
  }

  // The driver has changed something of state_.
  void apply() {
    const uint16_t status = config_.status & (state_.announce ? 0xffff : ~kAnnounce);
    if (state_.filter.mac() != config_.mac || status != config_.status) {
      config_.mac = state_.filter.mac();
      config_.status = status;
      show_config(false);
    }
    if (sdk::Status used = use_pairs(); !used) needs_reset(used.error().message.c_str());
  }

  QueuePair::Events pair_events() {
    return {[](void* self, const char* why) { static_cast<VirtioNet*>(self)->needs_reset(why); },
            [](void* self) { static_cast<VirtioNet*>(self)->link_lost(); }, this};
  }
  void link_lost() {
    if (!(config_.status & kLinkUp)) return;
    config_.status &= static_cast<uint16_t>(~kLinkUp);
    show_config(true);
  }

  // §5.1.6.5.4: the driver knows the guest's addresses and tells them to the network. For one that does not, the NIC
  // tells at least its own, which is all that switches need.
  void announce() {
    if (!memory_ || !(config_.status & kLinkUp)) return;
    if (control_ && state_.features & bit(kGuestAnnounce)) {
      state_.announce = true;
      config_.status |= kAnnounce;
      return show_config(true);
    }
    Announcement frame = announcement(config_.mac);
    const iovec iov{&frame, sizeof frame};
    (void)net_.send(0, {&iov, 1});
  }

  static void on_control(void* self) noexcept {
    auto* device = static_cast<VirtioNet*>(self);
    if (!device->control_->process([](void* opaque) { static_cast<VirtioNet*>(opaque)->apply(); }, device))
      device->needs_reset(device->control_->broken());
  }
  static void on_kernel_broken(void* self) noexcept {
    static_cast<VirtioNet*>(self)->needs_reset("the kernel found a ring of the driver's broken");
  }

  sdk::Net net_;
  DefaultMac default_mac_;
  Config config_{};
  Mac mac_{};  // without what the driver has set
  uint16_t max_pairs_ = 1;

  nacre_loop* loop_ = nullptr;
  const nacre_memory_view* memory_ = nullptr;
  ControlState state_;
  std::vector<std::unique_ptr<QueuePair>> pairs_;
  std::vector<std::unique_ptr<VhostPair>> vhosts_;
  std::unique_ptr<ControlQueue> control_;
  sdk::Watch control_watch_;

  static constexpr const sdk::Host& host = sdk::host;
};

constexpr const char* kAliases[] = {"virtio-net-mmio", nullptr};

constexpr nacre_type make_type() {
  nacre_type type = sdk::device_type<VirtioNet>("virtio-net-device", "virtio", "a network interface", kProps,
                                                NACRE_TYPE_HOTPLUGGABLE);
  type.aliases = kAliases;
  return type;
}
constexpr nacre_type kType = make_type();

}  // namespace
}  // namespace nacre::virtio_net

NACRE_PLUGIN(&nacre::virtio_net::kType);
