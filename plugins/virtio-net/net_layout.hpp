// The numbers of the network device type (virtio 1.2 §5.1).
#pragma once

#include <array>
#include <cstdint>

namespace nacre::virtio_net {

inline constexpr uint32_t kDeviceId = 1;

using Mac = std::array<uint8_t, 6>;

// Feature bits, §5.1.3.
enum Feature : unsigned {
  kCsum = 0,
  kGuestCsum = 1,
  kMtu = 3,
  kMac = 5,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kMrgRxbuf = 15,
  kStatus = 16,
  kCtrlVq = 17,
  kCtrlRx = 18,
  kCtrlVlan = 19,
  kCtrlRxExtra = 20,
  kGuestAnnounce = 21,
  kMq = 22,
  kCtrlMacAddr = 23,
};
constexpr uint64_t bit(unsigned n) {
  return uint64_t{1} << n;
}

// §5.1.4, up to the last field that a feature above makes valid.
struct [[gnu::packed]] Config {
  Mac mac;
  uint16_t status;
  uint16_t max_virtqueue_pairs;
  uint16_t mtu;
};
static_assert(sizeof(Config) == 12);
inline constexpr uint16_t kLinkUp = 1;
inline constexpr uint16_t kAnnounce = 2;

// The header of every frame, §5.1.6: only this field of it is the device's own to fill in.
inline constexpr uint32_t kHeaderBytes = 12;
inline constexpr uint32_t kNumBuffersOffset = 10;
inline constexpr uint32_t kEthernetBytes = 14;

// Commands of the control queue, §5.1.6.5.
enum ControlClass : uint8_t { kClassRx = 0, kClassMac = 1, kClassVlan = 2, kClassAnnounce = 3, kClassMq = 4 };
enum RxCommand : uint8_t { kPromisc = 0, kAllMulti = 1, kAllUni = 2, kNoMulti = 3, kNoUni = 4, kNoBcast = 5 };
enum MacCommand : uint8_t { kMacTableSet = 0, kMacAddrSet = 1 };
enum VlanCommand : uint8_t { kVlanAdd = 0, kVlanDel = 1 };
enum AnnounceCommand : uint8_t { kAnnounceAck = 0 };
enum MqCommand : uint8_t { kMqPairsSet = 0 };
enum class Ack : uint8_t { Ok = 0, Error = 1 };

}  // namespace nacre::virtio_net
