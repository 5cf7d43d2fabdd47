// One transmit queue: frames from the driver's buffers straight to the back end (virtio 1.2 §5.1.6.2).
#pragma once

#include <memory>
#include <nacre/net.hpp>
#include <nacre/virtqueue.hpp>

#include "receive_filter.hpp"
#include "receive_queue.hpp"

namespace nacre::virtio_net {

// Lives on the device's loop, from activation to reset. Allocates when it starts and never after.
class TransmitQueue {
 public:
  // `net` may hold none: then all frames are taken and dropped.
  TransmitQueue(sdk::Net& net, uint32_t pair, ReceiveFilter& filter) : net_(net), pair_(pair), filter_(filter) {}
  TransmitQueue(const TransmitQueue&) = delete;
  TransmitQueue& operator=(const TransmitQueue&) = delete;

  // False when the ring is not in memory.
  bool start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features);
  // Moves frames until there are none, or the back end has no room, or it is the others' turn.
  Round process();
  // A frame waits until the back end has room.
  bool waiting() const { return waiting_; }
  const char* broken() const { return broken_; }

 private:
  bool send(const sdk::IoVector& frame);

  sdk::Net& net_;
  const uint32_t pair_;
  ReceiveFilter& filter_;
  sdk::Virtqueue ring_;
  std::unique_ptr<iovec[]> iov_;
  std::unique_ptr<uint8_t[]> flat_;  // for frames in more pieces than a call takes
  sdk::DescriptorChain chain_;       // being sent
  bool waiting_ = false;
  const char* broken_ = nullptr;
};

}  // namespace nacre::virtio_net
