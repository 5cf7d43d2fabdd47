// A receive and a transmit queue with the events that drive them.
#pragma once

#include <nacre/loop.hpp>

#include "receive_queue.hpp"
#include "transmit_queue.hpp"

namespace nacre::virtio_net {

// Lives on the device's loop, from activation to reset.
class QueuePair {
 public:
  // What the device is told, on the loop.
  struct Events {
    void (*broken)(void* opaque, const char* why);  // the driver has broken a ring
    void (*link_lost)(void* opaque);                // the network is gone
    void* opaque;
  };

  QueuePair(sdk::Net& net, uint32_t pair, ReceiveFilter& filter, Events events)
      : net_(net), pair_(pair), receive_(net, pair, filter), transmit_(net, pair, filter), events_(events) {}
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  sdk::Status start(const nacre_virtqueue& receive, const nacre_virtqueue& transmit, const sdk::MemoryView& memory,
                    uint64_t features, nacre_loop* loop, nacre_error* slot);
  // Guest memory is not touched between these.
  void pause() { paused_ = true; }
  void resume();

 private:
  void receive();
  void transmit();
  void settle(Round round, const char* broken, int kick_fd);

  sdk::Net& net_;
  const uint32_t pair_;
  ReceiveQueue receive_;
  TransmitQueue transmit_;
  const Events events_;
  int receive_kick_ = -1, transmit_kick_ = -1;
  bool paused_ = false;
  bool dead_ = false;  // only a reset helps
  sdk::Watch receive_watch_, transmit_watch_, net_watch_;
};

}  // namespace nacre::virtio_net
