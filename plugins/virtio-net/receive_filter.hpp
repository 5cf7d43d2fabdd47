// Which received frames the driver wants (virtio 1.2 §5.1.6.5.1 .. §5.1.6.5.3).
#pragma once

#include <bitset>
#include <cstddef>
#include <span>

#include "net_layout.hpp"

namespace nacre::virtio_net {

// Accepts everything until the driver says otherwise. One thread.
class ReceiveFilter {
 public:
  static constexpr size_t kMaxMacs = 64;  // of both tables together
  static constexpr size_t kVlans = 4096;

  // Back to accepting everything, for a NIC of this address. `vlan_filter`: the driver is to name its VLANs.
  void reset(const Mac& mac, bool vlan_filter);

  const Mac& mac() const { return mac_; }
  void set_mac(const Mac& mac) { mac_ = mac; }
  // Turns one of RxCommand on or off; false when there is no such command.
  bool set_mode(uint8_t command, bool on);
  // The driver's tables, 6 bytes an address. One that does not fit stands for all addresses of its kind.
  void set_tables(std::span<const uint8_t> unicast, std::span<const uint8_t> multicast);
  // False when there is no such VLAN.
  bool set_vlan(uint32_t id, bool on);

  // True while everything is accepted, and frames need not be looked at.
  bool open() const { return mode_[kPromisc]; }
  // `frame` is its beginning: kPeek bytes, or all of a shorter one.
  static constexpr size_t kPeek = 18;
  bool accepts(std::span<const uint8_t> frame) const;
  // The driver has sent from this address, so it is the driver's, whether it has said so or not: a guest keeps the
  // address that it has read once, even when another NIC has taken this one's place meanwhile.
  void sent_from(const uint8_t* source);

 private:
  bool accepts_vlan(std::span<const uint8_t> frame) const;

  struct Table {
    std::array<Mac, kMaxMacs> macs;
    size_t n = 0;
    bool all = false;  // it did not fit
    bool holds(const uint8_t* address) const;
    void set(std::span<const uint8_t> addresses, size_t room);
  };

  Mac mac_{};
  Mac sender_{};
  std::bitset<6> mode_{1u << kPromisc};
  bool vlan_filter_ = false;
  Table unicast_, multicast_;
  std::bitset<kVlans> vlans_;
};

}  // namespace nacre::virtio_net
