// The control queue: takes the driver's commands off its ring and answers each (virtio 1.2 §5.1.6.5).
#pragma once

#include <memory>
#include <nacre/virtqueue.hpp>

#include "control.hpp"

namespace nacre::virtio_net {

// Lives on the device's loop, from activation to reset.
class ControlQueue {
 public:
  explicit ControlQueue(ControlState& state) : state_(state) {}

  // False when the ring is not in memory.
  bool start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features);
  // Carries out what is there, but no more than twice the ring at a time, as others on the loop have their turn;
  // `changed(opaque)` is called after each command that succeeded, before its answer can be seen. False when the driver
  // has broken the ring: broken() says how.
  using Changed = void (*)(void* opaque);
  bool process(Changed changed, void* opaque);
  const char* broken() const { return broken_; }

 private:
  ControlState& state_;
  sdk::Virtqueue ring_;
  std::unique_ptr<iovec[]> iov_;
  std::unique_ptr<uint8_t[]> command_;
  int kick_fd_ = -1;
  const char* broken_ = nullptr;
};

}  // namespace nacre::virtio_net
