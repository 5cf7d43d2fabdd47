#include "vhost_pair.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace nacre::virtio_net {

sdk::Status VhostPair::set_back_end(uint32_t ring, int fd) const {
  vhost_vring_file file{ring, fd};
  return vhost_.call(VHOST_NET_SET_BACKEND, &file, fd < 0 ? "let go of the tap" : "take the tap");
}

sdk::Status VhostPair::start(nacre_loop* loop, nacre_error* slot) {
  if (running()) return {};
  error_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (error_fd_ < 0) return sdk::fail("there is no eventfd left for the rings that the kernel serves");
  sdk::Status started = hand_over(loop, slot);
  if (!started) stop();
  return started;
}

sdk::Status VhostPair::hand_over(nacre_loop* loop, nacre_error* slot) {
  const uint32_t once = NACRE_LOOP_READ | NACRE_LOOP_EDGE;
  if (sdk::Status watched = error_watch_.start(loop, error_fd_, once, broken_, opaque_, slot); !watched) return watched;
  sdk::Result<uint64_t> known = vhost_.features();
  if (!known) return known.error();
  // The kernel is told of the rings' features; those of the frames are the tap's.
  if (sdk::Status ready = vhost_.prepare(features_ & *known, memory_); !ready) return ready;
  for (uint32_t ring = 0; ring < 2; ++ring)
    if (sdk::Status taken = vhost_.start_ring(ring, queues_[ring], position_[ring], memory_, error_fd_); !taken)
      return taken;
  for (uint32_t ring = 0; ring < 2; ++ring)
    if (sdk::Status set = set_back_end(ring, net_.fd(pair_)); !set) return set;
  return {};
}

void VhostPair::stop() {
  if (!running()) return;
  for (uint32_t ring = 0; ring < 2; ++ring) {
    (void)set_back_end(ring, -1);
    if (sdk::Result<uint16_t> position = vhost_.stop_ring(ring)) position_[ring] = *position;
  }
  error_watch_.stop();
  ::close(std::exchange(error_fd_, -1));
}

}  // namespace nacre::virtio_net
