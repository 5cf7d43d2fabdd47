// Addresses for NICs that were given none.
#pragma once

#include <bitset>
#include <cstddef>

#include "net_layout.hpp"

namespace nacre::virtio_net {

// 52:54:00:12:34:56 + n with an n that no other NIC has, until this is destroyed. Main thread only.
class DefaultMac {
 public:
  DefaultMac() = default;
  ~DefaultMac() {
    if (number_ < kNumbers) taken()[number_] = false;
  }
  DefaultMac(const DefaultMac&) = delete;
  DefaultMac& operator=(const DefaultMac&) = delete;

  // The lowest n for a NIC that has a network, the highest for one that only keeps a place: those do not shift the
  // numbers that users know. More than there are numbers share one, which works on networks of their own.
  Mac take(bool has_network) {
    for (size_t i = 0; i < kNumbers && number_ == kNumbers; ++i) {
      const size_t candidate = has_network ? i : kNumbers - 1 - i;
      if (!taken()[candidate]) number_ = candidate;
    }
    if (number_ < kNumbers) taken()[number_] = true;
    return {0x52, 0x54, 0x00, 0x12, 0x34, static_cast<uint8_t>(0x56 + number_)};
  }

 private:
  static constexpr size_t kNumbers = 255;
  static std::bitset<kNumbers>& taken() {
    static std::bitset<kNumbers> numbers;
    return numbers;
  }
  size_t number_ = kNumbers;
};

}  // namespace nacre::virtio_net
