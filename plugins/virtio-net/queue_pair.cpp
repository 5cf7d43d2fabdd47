#include "queue_pair.hpp"

namespace nacre::virtio_net {

sdk::Status QueuePair::start(const nacre_virtqueue& receive, const nacre_virtqueue& transmit,
                             const sdk::MemoryView& memory, uint64_t features, nacre_loop* loop, nacre_error* slot) {
  if (!receive_.start(receive, memory, features) || !transmit_.start(transmit, memory, features))
    return sdk::fail("a queue of the driver is not in memory");
  receive_kick_ = receive.kick_fd;
  transmit_kick_ = transmit.kick_fd;
  constexpr uint32_t kOnce = NACRE_LOOP_READ | NACRE_LOOP_EDGE;
  auto on_transmit = [](void* self) noexcept { static_cast<QueuePair*>(self)->transmit(); };
  sdk::Status watched = transmit_watch_.start(loop, transmit_kick_, kOnce, on_transmit, this, slot);
  if (!watched || !net_) return watched;
  auto on_receive = [](void* self) noexcept { static_cast<QueuePair*>(self)->receive(); };
  watched = receive_watch_.start(loop, receive_kick_, kOnce, on_receive, this, slot);
  if (!watched) return watched;
  auto on_net = [](void* self) noexcept {
    auto* pair = static_cast<QueuePair*>(self);
    if (pair->transmit_.waiting()) pair->transmit();
    pair->receive();
  };
  return net_watch_.start(loop, net_.fd(pair_), kOnce | NACRE_LOOP_WRITE, on_net, this, slot);
}

void QueuePair::resume() {
  paused_ = false;
  if (net_) receive();
  transmit();
}

void QueuePair::receive() {
  if (!paused_ && !dead_) settle(receive_.process(), receive_.broken(), receive_kick_);
}

void QueuePair::transmit() {
  if (!paused_ && !dead_) settle(transmit_.process(), transmit_.broken(), transmit_kick_);
}

void QueuePair::settle(Round round, const char* broken, int kick_fd) {
  switch (round) {
    case Round::Idle:
      break;
    case Round::More:
      sdk::kick(kick_fd);
      break;
    case Round::Ended:
      events_.link_lost(events_.opaque);
      break;
    case Round::Broken:
      dead_ = true;
      events_.broken(events_.opaque, broken);
      break;
  }
}

}  // namespace nacre::virtio_net
