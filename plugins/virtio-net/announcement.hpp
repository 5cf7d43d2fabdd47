// The frame by which a NIC without an address of its own to tell makes itself known to switches: a reverse ARP request
// for its own hardware address (RFC 903), to everybody.
#pragma once

#include <algorithm>
#include <array>

#include "net_layout.hpp"

namespace nacre::virtio_net {

inline constexpr size_t kMinFrame = 60;  // IEEE 802.3 §3.2.8, without the check sequence
using Announcement = std::array<uint8_t, kHeaderBytes + kMinFrame>;

// The frame with its virtio header, which is all zero.
inline Announcement announcement(const Mac& mac) {
  constexpr uint8_t kReverseArp[] = {
      0x80, 0x35,                    // EtherType
      0,    1,    8, 0, 6, 4, 0, 3,  // Ethernet, IPv4, lengths of the addresses, request
  };
  Announcement frame{};
  auto at = frame.begin() + kHeaderBytes;
  at = std::fill_n(at, mac.size(), uint8_t{0xff});
  at = std::copy(mac.begin(), mac.end(), at);
  at = std::copy(std::begin(kReverseArp), std::end(kReverseArp), at);
  at = std::copy(mac.begin(), mac.end(), at) + 4;  // the sender; its IP address is not known
  std::copy(mac.begin(), mac.end(), at);           // the target is the same
  return frame;
}

}  // namespace nacre::virtio_net
