#include "receive_queue.hpp"

#include <algorithm>

#include "frame_io.hpp"

namespace nacre::virtio_net {
namespace {

constexpr uint32_t kLongest = NACRE_NET_HEADER + 65535 + 14 + 4;  // a frame of 64 KiB with its headers and a VLAN tag
constexpr uint32_t kRoundFrames = 128;                            // moved before others get their turn
constexpr uint32_t kBatchFrames = 32;                             // shown to the driver together, at most
constexpr uint64_t kBatchBytes = 256 << 10;

}  // namespace

bool ReceiveQueue::start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features) {
  if (!ring_.start(queue, memory, features)) return false;
  mergeable_ = features & bit(kMrgRxbuf);
  // Room for the chains of the longest frame in one call, for one more chain of the longest kind, and for the spill.
  iov_room_ = std::max<uint32_t>(NACRE_NET_IOV_MAX, queue.num) + queue.num;
  iov_ = std::make_unique<iovec[]>(iov_room_ + 1);
  chains_ = std::make_unique<Chain[]>(queue.num);
  spill_ = std::make_unique_for_overwrite<uint8_t[]>(kLongest);
  return true;
}

// Moves what is kept to the front; false when even then a chain of the longest kind would not fit.
bool ReceiveQueue::make_room() {
  const uint32_t num = ring_.num();
  if (chain_end_ == num) {
    std::move(&chains_[chain_begin_], &chains_[chain_end_], &chains_[0]);
    chain_end_ -= std::exchange(chain_begin_, 0);
  }
  if (iov_room_ - iov_end_ < num) {
    std::move(&iov_[iov_begin_], &iov_[iov_end_], &iov_[0]);
    iov_end_ -= std::exchange(iov_begin_, 0);
  }
  return chain_end_ < num && iov_room_ - iov_end_ >= num;
}

// Takes chains from the ring until they hold `wanted` bytes or there are no more; false when the ring is broken.
bool ReceiveQueue::gather(uint64_t wanted) {
  using Pop = sdk::Virtqueue::Pop;
  full_ = false;
  while (room_ < wanted) {
    if (!make_room()) {
      full_ = true;
      return true;
    }
    sdk::DescriptorChain chain;
    const Pop popped = ring_.pop(chain, &iov_[iov_end_], ring_.num());
    if (popped == Pop::Empty) {
      if (ring_.rearm()) continue;
      return true;
    }
    if (popped == Pop::Broken) {
      broken_ = ring_.broken();
      return false;
    }
    if (chain.readable.length() > 0) {
      broken_ = "a receive buffer that the device may not write to";
      return false;
    }
    chains_[chain_end_++] = {chain.head, static_cast<uint16_t>(chain.writable.count()),
                             static_cast<uint32_t>(chain.writable.length())};
    iov_end_ += chain.writable.count();
    room_ += chain.writable.length();
  }
  return true;
}

// Gives the driver the first `length` bytes that the kept chains hold: one frame.
void ReceiveQueue::hand_over(uint64_t length) {
  uint64_t left = length;
  uint16_t n_chains = 0;
  for (uint32_t i = chain_begin_; left > 0; ++i, ++n_chains) left -= std::min<uint64_t>(left, chains_[i].length);
  // The back end does not know into how many chains its frame went.
  copy_in(buffers(), kNumBuffersOffset, &n_chains, sizeof n_chains);
  for (left = length; n_chains > 0; --n_chains) {
    const Chain& chain = chains_[chain_begin_++];
    const auto used = static_cast<uint32_t>(std::min<uint64_t>(left, chain.length));
    ring_.push(chain.head, used);
    left -= used;
    room_ -= chain.length;
    iov_begin_ += chain.n_iov;
  }
  if (chain_begin_ == chain_end_) chain_begin_ = chain_end_ = iov_begin_ = iov_end_ = 0;
}

// Reads one frame into what is kept, and the rest of it, if any, into the spill.
ReceiveQueue::Took ReceiveQueue::read_frame() {
  // Without mergeable buffers a frame must fit into one chain; what does not is lost (§5.1.6.3.1, §5.1.6.4).
  uint32_t n = mergeable_ ? iov_end_ - iov_begin_ : chains_[chain_begin_].n_iov;
  n = std::min(n, NACRE_NET_IOV_MAX - 1);
  uint64_t room = 0;
  for (uint32_t i = 0; i < n; ++i) room += iov_[iov_begin_ + i].iov_len;

  // The spill stands behind the buffers for the time of the call.
  const std::span<const iovec> into(&iov_[iov_begin_], n + 1);
  const iovec behind = std::exchange(iov_[iov_begin_ + n], {spill_.get(), kLongest});
  const int64_t got = net_.receive(pair_, into);
  const bool wanted =
      got >= int64_t{kHeaderBytes} + kEthernetBytes && (filter_.open() || accepted(into, static_cast<size_t>(got)));
  iov_[iov_begin_ + n] = behind;
  if (got <= 0) return got == 0 ? Took::None : Took::Ended;
  if (!wanted) return Took::Frame;  // its buffers stay for the next one
  const auto length = static_cast<uint64_t>(got);
  if (length <= room) {
    hand_over(length);
  } else if (mergeable_) {
    spill_offset_ = room;
    spill_length_ = length - room;
  }
  return Took::Frame;
}

bool ReceiveQueue::accepted(std::span<const iovec> frame, size_t length) const {
  uint8_t head[ReceiveFilter::kPeek];
  const size_t there = std::min(sizeof head, length - kHeaderBytes);
  return filter_.accepts({head, copy_out(frame, kHeaderBytes, head, there)});
}

// Goes on with a frame that had no room; false while it still has none.
bool ReceiveQueue::finish_spilled() {
  const uint64_t length = spill_offset_ + spill_length_;
  if (room_ < length) {
    // It never will, with all that the driver can give: it is lost.
    if (full_) spill_length_ = 0;
    return full_;
  }
  copy_in(buffers(), spill_offset_, spill_.get(), spill_length_);
  spill_length_ = 0;
  hand_over(length);
  return true;
}

Round ReceiveQueue::process() {
  if (broken_) return Round::Broken;
  uint32_t frames = 0, in_batch = 0;
  uint64_t batch_room = 0;
  Round outcome = Round::More;
  while (frames < kRoundFrames) {
    if (!gather(mergeable_ ? kLongest : 1)) {
      outcome = Round::Broken;
      break;
    }
    if (spill_length_ > 0) {
      ++frames;
      if (finish_spilled()) continue;
      outcome = Round::Idle;
      break;
    }
    if (chain_begin_ == chain_end_) {
      outcome = Round::Idle;  // the ring is empty, and its next kick brings us back
      break;
    }
    const uint64_t before = room_;
    const Took took = read_frame();
    if (took != Took::Frame) {
      outcome = took == Took::Ended ? Round::Ended : Round::Idle;
      break;
    }
    ++frames;
    batch_room += before - room_;
    if (++in_batch == kBatchFrames || batch_room >= kBatchBytes) {
      ring_.publish();
      in_batch = 0, batch_room = 0;
    }
  }
  ring_.publish();
  return outcome;
}

}  // namespace nacre::virtio_net
