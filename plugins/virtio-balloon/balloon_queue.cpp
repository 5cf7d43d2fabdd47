#include "balloon_queue.hpp"

namespace nacre::virtio_balloon {

sdk::Status BalloonQueue::start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features,
                                nacre_loop* loop, nacre_error* slot) {
  if (!ring_.start(queue, memory, features)) return sdk::fail("a queue of the driver is not in memory");
  buffers_ = std::make_unique_for_overwrite<iovec[]>(queue.num);
  constexpr auto process = [](void* self) noexcept { static_cast<BalloonQueue*>(self)->process(); };
  if (sdk::Status made = again_.start(loop, process, this, slot); !made) return made;
  return kick_.start(loop, queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, process, this, slot);
}

void BalloonQueue::give_back(uint16_t head) {
  ring_.push(head, 0);
  if (!processing_) ring_.publish();
}

void BalloonQueue::process() {
  using Pop = sdk::Virtqueue::Pop;
  if (dead_) return;
  processing_ = true;
  uint64_t work = 0;
  do {
    sdk::DescriptorChain chain;
    Pop popped = Pop::Empty;
    while (work < kPagesPerTurn && (popped = ring_.pop(chain, buffers_.get(), ring_.num())) == Pop::Chain) {
      const uint16_t head = chain.head;
      const Handled handled = handle_(opaque_, chain);
      if (handled.wrong) return fail(handled.wrong);
      if (!handled.keep) ring_.push(head, 0);
      work += handled.pages + 1;
    }
    if (popped == Pop::Broken) return fail(ring_.broken());
  } while (work < kPagesPerTurn && ring_.rearm());
  processing_ = false;
  ring_.publish();
  if (work >= kPagesPerTurn) again_.arm(1);
}

void BalloonQueue::fail(const char* why) {
  dead_ = true;
  processing_ = false;
  kick_.stop();
  broken_(opaque_, why);
}

}  // namespace nacre::virtio_balloon
