#include "transmit_queue.hpp"

#include "frame_io.hpp"

namespace nacre::virtio_net {
namespace {

constexpr uint32_t kLongest = NACRE_NET_HEADER + 65535 + 14 + 4;
constexpr uint32_t kRoundFrames = 128;  // moved before others get their turn
constexpr uint32_t kBatchFrames = 32;   // given back to the driver together, at most

}  // namespace

bool TransmitQueue::start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features) {
  if (!ring_.start(queue, memory, features)) return false;
  iov_ = std::make_unique_for_overwrite<iovec[]>(queue.num);
  if (queue.num > NACRE_NET_IOV_MAX) flat_ = std::make_unique_for_overwrite<uint8_t[]>(kLongest);
  return true;
}

// False when the back end has no room for it now. Frames that are none, or that it cannot carry, are dropped: Ethernet
// promises no more.
bool TransmitQueue::send(const sdk::IoVector& frame) {
  if (!net_ || frame.length() < kHeaderBytes + kEthernetBytes || frame.length() > kLongest) return true;
  std::span<const iovec> pieces(frame.data(), frame.count());
  if (!filter_.open()) {
    uint8_t addresses[2 * sizeof(Mac)];
    copy_out(pieces, kHeaderBytes, addresses, sizeof addresses);
    filter_.sent_from(addresses + sizeof(Mac));
  }
  iovec whole;
  if (pieces.size() > NACRE_NET_IOV_MAX) {
    whole = {flat_.get(), copy_out(pieces, 0, flat_.get(), frame.length())};
    pieces = {&whole, 1};
  }
  return net_.send(pair_, pieces) != 0;
}

Round TransmitQueue::process() {
  using Pop = sdk::Virtqueue::Pop;
  if (broken_) return Round::Broken;
  Round outcome = Round::More;
  for (uint32_t frames = 0; frames < kRoundFrames;) {
    if (!waiting_) {
      const Pop popped = ring_.pop(chain_, iov_.get(), ring_.num());
      if (popped == Pop::Empty) {
        if (ring_.rearm()) continue;
        outcome = Round::Idle;
        break;
      }
      if (popped == Pop::Broken || chain_.readable.length() < kHeaderBytes) {
        broken_ = popped == Pop::Broken ? ring_.broken() : "a frame to be sent that is shorter than its header";
        outcome = Round::Broken;
        break;
      }
    }
    waiting_ = !send(chain_.readable);
    if (waiting_) {
      outcome = Round::Idle;
      break;
    }
    ring_.push(chain_.head, 0);
    if (++frames % kBatchFrames == 0) ring_.publish();
  }
  ring_.publish();
  return outcome;
}

}  // namespace nacre::virtio_net
