// A virtio device for tests of transports.
#pragma once

#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "core/virtio/virtio_device.hpp"

namespace nacre::virtio {

// A device that remembers what it was told.
struct Recorder {
  int activations = 0, resets = 0;
  uint64_t features = 0;
  std::vector<nacre_virtqueue> queues;
  nacre_status answer = NACRE_OK;
  std::string written;

  static nacre_status activate(void* self, const nacre_virtio_activation* activation, nacre_error*) noexcept {
    auto* me = static_cast<Recorder*>(self);
    ++me->activations;
    me->features = activation->features;
    me->queues.assign(activation->queues, activation->queues + activation->n_queues);
    return me->answer;
  }
  static void reset(void* self) noexcept { ++static_cast<Recorder*>(self)->resets; }
  static void config_written(void* self, uint32_t offset, const uint8_t* data, uint32_t length) noexcept {
    static_cast<Recorder*>(self)->written =
        std::to_string(offset) + ":" + std::string(reinterpret_cast<const char*>(data), length);
  }

  // Two queues of 256 and 64 entries, the features 0x5, eight bytes of configuration.
  std::unique_ptr<VirtioDevice> make(EventLoop& loop) {
    static constexpr nacre_virtio_ops kOps{sizeof kOps, 0, activate, reset, config_written};
    const uint16_t sizes[] = {256, 64};
    const uint8_t config[] = {1, 2, 3, 4, 5, 6, 7, 8};
    nacre_virtio_desc desc{sizeof desc, 2, 0x5, sizes, 2, sizeof config, config, &kOps};
    return std::move(*VirtioDevice::create(desc, this, loop, "device 'd'", {}));
  }
};

inline bool signalled(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

}  // namespace nacre::virtio
