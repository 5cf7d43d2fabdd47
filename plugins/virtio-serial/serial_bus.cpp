#include "serial_bus.hpp"

#include "port.hpp"

namespace nacre::virtio_serial {
namespace {

// Chains that one turn of the loop takes from one queue: a guest that never stops leaves the others their turn.
constexpr uint32_t kBudget = 2 * kDataQueueSize;

}  // namespace

SerialBus* SerialBus::current_ = nullptr;

SerialBus::~SerialBus() {
  if (current_ == this) current_ = nullptr;
}

sdk::Status SerialBus::realize(nacre_error* slot) {
  if (current_) return sdk::fail("Only one virtio serial device is supported");
  const uint32_t max_ports = static_cast<uint32_t>(*u64("max-ports"));
  control_.emplace(max_ports);
  std::vector<uint16_t> sizes(queue_count(max_ports), kDataQueueSize);
  sizes[kControlReceive] = sizes[kControlTransmit] = kControlQueueSize;
  rings_ = std::make_unique<Ring[]>(sizes.size());
  Config config{};
  config.max_nr_ports = max_ports;
  sdk::Status attached = attach(kDeviceId, 1u << kSize | 1u << kMultiport, sizes,
                                {reinterpret_cast<const uint8_t*>(&config), sizeof config}, slot);
  if (attached) current_ = this;
  return attached;
}

void SerialBus::unrealize() {
  for (Port* port : ports_)
    if (port) unplug(*port);
  current_ = nullptr;
  detach();
}

sdk::Status SerialBus::activate(const sdk::VirtioActivation& activation, nacre_error* slot) {
  memory_ = sdk::host.memory->acquire(instance());
  nacre_loop* loop = sdk::host.loop->of(instance());
  for (uint32_t i = 0; i < activation.n_queues(); ++i) {
    const nacre_virtqueue& queue = activation.queue(i);
    if (!queue.ready) continue;
    Ring& ring = rings_[i];
    ring.bus = this;
    ring.index = i;
    ring.kick_fd = queue.kick_fd;
    ring.storage.resize(queue.num);
    sdk::Status started;
    if (!ring.queue.start(queue, sdk::MemoryView(memory_), activation.features()))
      started = sdk::fail("a queue of the driver is not in memory");
    else
      started = ring.kick.start(loop, queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_kick, &ring, slot);
    if (!started) {
      deactivate();
      return started;
    }
    ring.live = true;
  }
  control_->start(activation.has(kMultiport));
  if (!activation.has(kMultiport)) deliver(0);
  return {};
}

void SerialBus::deactivate() {
  for (uint32_t i = 0; i < queue_count(control_->max_ports()); ++i) {
    rings_[i].kick.stop();
    rings_[i] = Ring();
  }
  control_->stop();
  dead_ = false;
  if (memory_) sdk::host.memory->release(instance(), memory_);
  memory_ = nullptr;
}

sdk::Status SerialBus::plug(Port& port, std::optional<uint64_t> nr) {
  sdk::Result<uint32_t> chosen = control_->choose(nr, port.state().console);
  if (!chosen) return chosen.error();
  port.state().nr = *chosen;
  ports_[*chosen] = &port;
  control_->add(port.state());
  control();
  return {};
}

void SerialBus::unplug(Port& port) {
  const uint32_t nr = port.state().nr;
  ports_[nr] = nullptr;
  if (Ring& ring = rings_[transmit_queue(nr)]; ring.live && ring.held && !dead_) {
    ring.held = false;
    ring.queue.push(ring.head, 0);
    ring.queue.publish();
  }
  control_->remove(port.state());
  control();
  port.unplugged();
}

void SerialBus::host_connected(Port& port, bool connected) {
  control_->set_host_connected(port.state(), connected);
  control();
}

void SerialBus::on_kick(void* opaque) noexcept {
  Ring& ring = *static_cast<Ring*>(opaque);
  SerialBus& bus = *ring.bus;
  if (ring.index == kControlReceive || ring.index == kControlTransmit) return bus.control();
  const uint32_t nr = ring.index < 2 ? 0 : ring.index / 2 - 1;
  ring.index % 2 ? bus.transmit(nr) : bus.deliver(nr);
}

// Comes back to the queue when others have had their turn.
void SerialBus::again(const Ring& ring) {
  sdk::kick(ring.kick_fd);
}

void SerialBus::broken(Ring& ring) {
  give_up(ring.queue.broken());
}

void SerialBus::give_up(const char* why) {
  dead_ = true;
  needs_reset(why);
}

bool SerialBus::next(Ring& ring, uint32_t& budget, sdk::DescriptorChain& chain) {
  using Pop = sdk::Virtqueue::Pop;
  while (budget > 0) {
    --budget;
    const Pop popped = ring.queue.pop(chain, ring.storage.data(), ring.queue.num());
    if (popped == Pop::Chain) return true;
    if (popped == Pop::Broken) broken(ring);
    if (popped == Pop::Broken || !ring.queue.rearm()) return false;
  }
  again(ring);
  return false;
}

void SerialBus::deliver(uint32_t nr) {
  Ring& ring = rings_[receive_queue(nr)];
  Port* port = ports_[nr];
  if (!usable(ring) || !port || !port->state().guest_open) return;
  ring.busy = true;
  uint32_t budget = kBudget;
  sdk::DescriptorChain chain;
  while (port->state().guest_open && next(ring, budget, chain)) {
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < chain.writable.count(); ++i) {
      const iovec& buffer = chain.writable.data()[i];
      const uint32_t read = port->wire().read(buffer.iov_base, static_cast<uint32_t>(buffer.iov_len));
      bytes += read;
      if (read < buffer.iov_len) break;
    }
    if (bytes == 0 && chain.writable.length()) {
      // The back end says when there is more. A port that goes away leaves the driver's buffers where they are.
      ring.queue.unpop();
      break;
    }
    ring.queue.push(chain.head, bytes);
  }
  ring.queue.publish();
  ring.busy = false;
}

void SerialBus::transmit(uint32_t nr) {
  Ring& ring = rings_[transmit_queue(nr)];
  Port* port = ports_[nr];
  if (!usable(ring) || !port) return;
  ring.busy = true;
  uint32_t budget = kBudget;
  sdk::DescriptorChain chain;
  for (;;) {
    if (!ring.held) {
      if (!next(ring, budget, chain)) break;
      ring.held = true;
      ring.head = chain.head;
      ring.left = chain.readable;
    }
    if (!port->send(ring.left)) break;  // on when the back end says so
    ring.held = false;
    ring.queue.push(ring.head, 0);
  }
  ring.queue.publish();
  ring.busy = false;
}

void SerialBus::control() {
  Ring& ring = rings_[kControlTransmit];
  if (!usable(ring) || !rings_[kControlReceive].live) return;
  ring.busy = true;
  uint32_t taken = 0;
  do {
    flush_control();
    const uint32_t more = take_control();
    taken += more;
    if (more == 0) break;
    if (taken >= kBudget) {
      flush_control();
      again(ring);
      break;
    }
  } while (!dead_);
  ring.queue.publish();
  ring.busy = false;
}

// Takes messages of the driver's while there is room for the answers; returns how many it took.
uint32_t SerialBus::take_control() {
  Ring& ring = rings_[kControlTransmit];
  uint32_t taken = 0;
  while (!dead_ && taken < kControlQueueSize && control_->has_room()) {
    sdk::DescriptorChain chain;
    sdk::Virtqueue::Pop popped = ring.queue.pop(chain, ring.storage.data(), ring.queue.num());
    if (popped == sdk::Virtqueue::Pop::Broken) broken(ring);
    if (popped != sdk::Virtqueue::Pop::Chain) break;
    ++taken;
    ControlMessage message;
    if (!chain.readable.take_front(&message, sizeof message)) {
      give_up("a control message of the driver is too short");
      break;
    }
    PortState* changed = control_->accept(message);
    ring.queue.push(chain.head, 0);
    if (changed && changed->guest_open) deliver(changed->nr);
  }
  if (taken == 0 && !dead_ && control_->has_room() && ring.queue.rearm()) again(ring);
  return taken;
}

// Tells the driver what waits, as far as it has given buffers.
void SerialBus::flush_control() {
  Ring& ring = rings_[kControlReceive];
  uint32_t budget = kBudget;
  sdk::DescriptorChain chain;
  while (const Outgoing* out = dead_ ? nullptr : control_->front()) {
    if (!next(ring, budget, chain)) break;
    if (chain.writable.length() < sizeof out->message) {
      give_up("a control buffer of the driver has no room for a message");
      break;
    }
    std::string text(reinterpret_cast<const char*>(&out->message), sizeof out->message);
    text += out->name;
    const uint64_t bytes = chain.writable.put_front(text.data(), text.size());
    control_->pop();
    ring.queue.push(chain.head, static_cast<uint32_t>(bytes));
  }
  if (!dead_) ring.queue.publish();
}

}  // namespace nacre::virtio_serial
