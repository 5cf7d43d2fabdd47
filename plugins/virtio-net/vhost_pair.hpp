// A pair of queues that the kernel's vhost-net moves frames for.
#pragma once

#include <nacre/loop.hpp>
#include <nacre/net.hpp>
#include <nacre/vhost.hpp>

namespace nacre::virtio_net {

// Lives on the device's loop, from activation to reset.
class VhostPair {
 public:
  // What both rings are; `memory` must stay valid while this lives. `broken(opaque)` is called on the loop when the
  // driver has broken one of them.
  VhostPair(sdk::Net& net, uint32_t pair, const nacre_virtqueue& receive, const nacre_virtqueue& transmit,
            const sdk::MemoryView& memory, uint64_t features, nacre_callback broken, void* opaque)
      : net_(net),
        pair_(pair),
        queues_{receive, transmit},
        memory_(memory),
        features_(features),
        vhost_(net.vhost_fd(pair)),
        broken_(broken),
        opaque_(opaque),
        position_{receive.first, transmit.first} {}
  ~VhostPair() { stop(); }
  VhostPair(const VhostPair&) = delete;
  VhostPair& operator=(const VhostPair&) = delete;

  bool running() const { return error_fd_ >= 0; }
  // Gives both rings to the kernel, where they were when it had them last. The tap's queue is attached. After a failure
  // it has neither.
  sdk::Status start(nacre_loop* loop, nacre_error* slot);
  // Takes them back: the kernel touches guest memory no more.
  void stop();

 private:
  sdk::Status hand_over(nacre_loop* loop, nacre_error* slot);
  sdk::Status set_back_end(uint32_t ring, int fd) const;

  sdk::Net& net_;
  const uint32_t pair_;
  const nacre_virtqueue queues_[2];
  const sdk::MemoryView memory_;
  const uint64_t features_;
  const sdk::Vhost vhost_;
  const nacre_callback broken_;
  void* const opaque_;
  uint16_t position_[2];
  int error_fd_ = -1;
  sdk::Watch error_watch_;
};

}  // namespace nacre::virtio_net
