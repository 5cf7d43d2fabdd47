// The commands of the control queue (virtio 1.2 §5.1.6.5): from the driver's bytes to what the device is to be.
#pragma once

#include <span>

#include "receive_filter.hpp"

namespace nacre::virtio_net {

// What commands change.
struct ControlState {
  ReceiveFilter filter;
  uint64_t features = 0;   // as negotiated: a command whose feature was not is an error
  uint16_t max_pairs = 1;  // that the configuration shows
  uint16_t pairs = 1;      // that the driver uses
  bool announce = false;   // the driver has been asked to announce itself
};

// The longest command that is understood, with its two bytes of class and command: more than twice as many addresses
// as there are multicast groups in wide use. A longer one is an error.
inline constexpr size_t kMaxCommand = 16384;

// Carries out one command: class, command and data as the driver has written them, already copied out of its memory.
// Where it returns Error nothing has changed.
Ack control(ControlState& state, std::span<const uint8_t> command);

}  // namespace nacre::virtio_net
