#include "receive_filter.hpp"

#include <algorithm>
#include <cstring>

namespace nacre::virtio_net {
namespace {

bool same(const uint8_t* a, const Mac& b) {
  return std::memcmp(a, b.data(), b.size()) == 0;
}

constexpr Mac kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

}  // namespace

bool ReceiveFilter::Table::holds(const uint8_t* address) const {
  return all || std::any_of(macs.begin(), macs.begin() + n, [&](const Mac& mac) { return same(address, mac); });
}

void ReceiveFilter::Table::set(std::span<const uint8_t> addresses, size_t room) {
  const size_t count = addresses.size() / sizeof(Mac);
  all = count > room;
  n = all ? 0 : count;
  if (n) std::memcpy(macs.data(), addresses.data(), n * sizeof(Mac));
}

void ReceiveFilter::reset(const Mac& mac, bool vlan_filter) {
  *this = ReceiveFilter();
  mac_ = sender_ = mac;
  vlan_filter_ = vlan_filter;
}

bool ReceiveFilter::set_mode(uint8_t command, bool on) {
  if (command >= mode_.size()) return false;
  mode_[command] = on;
  return true;
}

void ReceiveFilter::set_tables(std::span<const uint8_t> unicast, std::span<const uint8_t> multicast) {
  unicast_.set(unicast, kMaxMacs);
  multicast_.set(multicast, kMaxMacs - unicast_.n);
}

bool ReceiveFilter::set_vlan(uint32_t id, bool on) {
  if (id >= kVlans) return false;
  vlans_[id] = on;
  return true;
}

bool ReceiveFilter::accepts_vlan(std::span<const uint8_t> frame) const {
  const bool tagged = frame.size() >= kPeek && frame[12] == 0x81 && frame[13] == 0x00;
  if (!vlan_filter_ || !tagged) return true;
  const unsigned id = (frame[14] << 8 | frame[15]) & 0xfff;
  return id == 0 || vlans_[id];  // VLAN 0 is none: the tag says the priority only
}

bool ReceiveFilter::accepts(std::span<const uint8_t> frame) const {
  if (frame.size() < kEthernetBytes) return false;
  if (mode_[kPromisc]) return true;
  if (!accepts_vlan(frame)) return false;
  const uint8_t* to = frame.data();
  if (same(to, kBroadcast)) return !mode_[kNoBcast];
  if (to[0] & 1) return !mode_[kNoMulti] && (mode_[kAllMulti] || multicast_.holds(to));
  return !mode_[kNoUni] && (mode_[kAllUni] || same(to, mac_) || same(to, sender_) || unicast_.holds(to));
}

void ReceiveFilter::sent_from(const uint8_t* source) {
  if (!(source[0] & 1)) std::memcpy(sender_.data(), source, sender_.size());
}

}  // namespace nacre::virtio_net
