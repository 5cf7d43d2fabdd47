// One request queue of a block device: from the driver's kick to the back end and back.
#pragma once

#include <memory>
#include <nacre/block.hpp>
#include <nacre/loop.hpp>
#include <nacre/virtqueue.hpp>
#include <span>
#include <vector>

#include "blk_request.hpp"

namespace nacre::virtio_blk {

// Lives on the device's loop, from activation to reset. Allocates when it starts and never after.
class BlkQueue {
 public:
  // `broken(opaque, why)` is called when the driver has broken the ring.
  using Broken = void (*)(void* opaque, const char* why);

  BlkQueue(sdk::Block& block, const DiskFacts& disk, bool write_through, Broken broken, void* opaque)
      : block_(block), disk_(disk), write_through_(write_through), broken_(broken), opaque_(opaque) {}
  BlkQueue(const BlkQueue&) = delete;
  BlkQueue& operator=(const BlkQueue&) = delete;

  sdk::Status start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features, nacre_loop* loop,
                    nacre_error* slot);
  // Takes no more requests, also when one is completed.
  void stop() {
    kick_.stop();
    dead_ = true;
  }

  // Takes what the driver has made available, but no more than twice the ring at a time: others on the loop have their
  // turn while a driver goes on and on. The caller is on the loop.
  void process();
  // The back end is done with this request, which is one of this queue's.
  void completed(Request& request);
  // Shows the driver what was completed, unless process() is at work and will.
  void publish();

  // Which queue a request belongs to.
  static BlkQueue& of(Request& request);

 private:
  struct Slot;  // a request, its owner and its buffers
  Request* take();
  void give_back(Request& request);
  bool free_or_unused() const { return free_ || unused_ < ring_.num(); }

  sdk::Block& block_;
  const DiskFacts& disk_;
  const bool write_through_;
  const Broken broken_;
  void* const opaque_;

  sdk::Virtqueue ring_;
  sdk::Watch kick_;
  std::unique_ptr<uint8_t[]> slots_;
  size_t slot_size_ = 0;
  Request* free_ = nullptr;
  uint32_t unused_ = 0;  // slots from this one on were never taken
  std::vector<nacre_block_request*> batch_;
  bool processing_ = false;
  int kick_fd_ = -1;
  bool dead_ = false;  // stopped, or the driver broke the ring: only a reset helps
};

}  // namespace nacre::virtio_blk
