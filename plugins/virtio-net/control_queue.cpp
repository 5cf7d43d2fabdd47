#include "control_queue.hpp"

namespace nacre::virtio_net {

bool ControlQueue::start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features) {
  if (!ring_.start(queue, memory, features)) return false;
  iov_ = std::make_unique_for_overwrite<iovec[]>(queue.num);
  command_ = std::make_unique_for_overwrite<uint8_t[]>(kMaxCommand);
  kick_fd_ = queue.kick_fd;
  return true;
}

bool ControlQueue::process(Changed changed, void* opaque) {
  using Pop = sdk::Virtqueue::Pop;
  if (broken_) return false;
  uint32_t left = 2 * ring_.num();
  do {
    sdk::DescriptorChain chain;
    Pop popped = Pop::Empty;
    for (; left > 0 && (popped = ring_.pop(chain, iov_.get(), ring_.num())) == Pop::Chain; --left) {
      uint8_t* ack = chain.writable.take_last_byte();
      if (!ack || chain.writable.length() > 0) {
        broken_ = ack ? "a command with more than a status to write to" : "a command without a status byte";
        ring_.publish();
        return false;
      }
      const uint64_t length = chain.readable.length();
      Ack answer = Ack::Error;
      if (length <= kMaxCommand && chain.readable.take_front(command_.get(), length))
        answer = control(state_, {command_.get(), length});
      if (answer == Ack::Ok) changed(opaque);
      *ack = static_cast<uint8_t>(answer);
      ring_.push(chain.head, 1);
    }
    if (popped == Pop::Broken) {
      broken_ = ring_.broken();
      return false;
    }
  } while (left > 0 && ring_.rearm());
  ring_.publish();
  if (left == 0) sdk::kick(kick_fd_);
  return true;
}

}  // namespace nacre::virtio_net
