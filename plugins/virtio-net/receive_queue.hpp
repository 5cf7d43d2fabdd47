// One receive queue: frames from the back end straight into the driver's buffers (virtio 1.2 §5.1.6.3).
#pragma once

#include <memory>
#include <nacre/net.hpp>
#include <nacre/virtqueue.hpp>

#include "receive_filter.hpp"

namespace nacre::virtio_net {

// What a round of work has come to.
enum class Round {
  Idle,   // nothing to do until the next event
  More,   // stopped so that others get their turn: go on soon
  Ended,  // the back end will never give a frame again
  Broken  // the driver broke the ring: broken() says how
};

// Lives on the device's loop, from activation to reset. Allocates when it starts and never after.
//
// How long a frame is shows only when it has been read, so the queue takes enough buffers for the longest one out of
// the ring beforehand and keeps those that were not needed for the next. Where the driver has given fewer, the rest of
// a long frame goes to `spill_` and waits there for more. While the driver has given none, nothing is read: frames wait
// in the back end, or are lost there.
class ReceiveQueue {
 public:
  ReceiveQueue(sdk::Net& net, uint32_t pair, const ReceiveFilter& filter) : net_(net), pair_(pair), filter_(filter) {}
  ReceiveQueue(const ReceiveQueue&) = delete;
  ReceiveQueue& operator=(const ReceiveQueue&) = delete;

  // False when the ring is not in memory. `mergeable`: a frame may take several chains (VIRTIO_NET_F_MRG_RXBUF).
  bool start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features);
  // Moves frames until there are none, or no buffers, or it is the others' turn.
  Round process();
  const char* broken() const { return broken_; }

 private:
  struct Chain {
    uint16_t head;
    uint16_t n_iov;
    uint32_t length;
  };
  enum class Took { Frame, None, Ended };

  bool gather(uint64_t wanted);
  bool make_room();
  Took read_frame();
  bool accepted(std::span<const iovec> frame, size_t length) const;
  bool finish_spilled();
  void hand_over(uint64_t length);
  std::span<const iovec> buffers() const { return {&iov_[iov_begin_], iov_end_ - iov_begin_}; }

  sdk::Net& net_;
  const uint32_t pair_;
  const ReceiveFilter& filter_;

  sdk::Virtqueue ring_;
  bool mergeable_ = false;
  const char* broken_ = nullptr;

  // Chains that were taken from the ring and not used yet, oldest first, and their buffers one after the other.
  std::unique_ptr<Chain[]> chains_;
  std::unique_ptr<iovec[]> iov_;
  uint32_t chain_begin_ = 0, chain_end_ = 0;
  uint32_t iov_begin_ = 0, iov_end_ = 0, iov_room_ = 0;
  uint64_t room_ = 0;  // bytes in them
  bool full_ = false;  // the driver cannot give more before it gets some back

  std::unique_ptr<uint8_t[]> spill_;
  uint64_t spill_offset_ = 0;  // where in the frame the spill begins
  uint64_t spill_length_ = 0;  // 0: no frame is waiting
};

}  // namespace nacre::virtio_net
