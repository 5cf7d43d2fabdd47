// One of the balloon's queues: takes chains off it, a bounded amount of work at a time.
#pragma once

#include <memory>
#include <nacre/loop.hpp>
#include <nacre/virtqueue.hpp>

#include "balloon_layout.hpp"

namespace nacre::virtio_balloon {

// Lives on the device's loop, from activation to reset. Allocates when it starts and never after.
class BalloonQueue {
 public:
  // What became of a chain. `pages` is how much work it was; with `wrong` the device cannot go on.
  struct Handled {
    uint64_t pages = 0;
    bool keep = false;  // not to be given back yet: the handler does that, with give_back()
    const char* wrong = nullptr;
  };
  using Handle = Handled (*)(void* opaque, sdk::DescriptorChain& chain);
  using Broken = void (*)(void* opaque, const char* why);

  BalloonQueue(Handle handle, Broken broken, void* opaque) : handle_(handle), broken_(broken), opaque_(opaque) {}
  BalloonQueue(const BalloonQueue&) = delete;
  BalloonQueue& operator=(const BalloonQueue&) = delete;

  sdk::Status start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features, nacre_loop* loop,
                    nacre_error* slot);
  // Gives a kept chain back; the driver sees it at once unless process() is at work.
  void give_back(uint16_t head);

 private:
  void process();
  void fail(const char* why);

  // Other callbacks of the loop come in between when a driver never stops asking.
  static constexpr uint64_t kPagesPerTurn = 16384;

  const Handle handle_;
  const Broken broken_;
  void* const opaque_;
  sdk::Virtqueue ring_;
  std::unique_ptr<iovec[]> buffers_;
  sdk::Watch kick_;
  sdk::Timer again_;
  bool processing_ = false;
  bool dead_ = false;  // only a reset helps
};

}  // namespace nacre::virtio_balloon
