#include "control.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

namespace nacre::virtio_net {
namespace {

using Bytes = std::span<const uint8_t>;

bool has(const ControlState& state, unsigned feature) {
  return state.features & bit(feature);
}

Ack rx(ControlState& state, uint8_t command, Bytes data) {
  const unsigned needed = command <= kAllMulti ? kCtrlRx : kCtrlRxExtra;
  if (!has(state, needed) || data.size() != 1 || data[0] > 1) return Ack::Error;
  return state.filter.set_mode(command, data[0] != 0) ? Ack::Ok : Ack::Error;
}

// Takes one table off the front of `data`: a 32-bit count, then as many addresses. Nothing when it is cut short.
std::optional<Bytes> take_table(Bytes& data) {
  uint32_t entries;
  if (data.size() < sizeof entries) return std::nullopt;
  std::memcpy(&entries, data.data(), sizeof entries);
  data = data.subspan(sizeof entries);
  if (entries > data.size() / sizeof(Mac)) return std::nullopt;
  Bytes table = data.first(entries * sizeof(Mac));
  data = data.subspan(table.size());
  return table;
}

Ack mac(ControlState& state, uint8_t command, Bytes data) {
  if (command == kMacAddrSet) {
    if (!has(state, kCtrlMacAddr) || data.size() != sizeof(Mac)) return Ack::Error;
    Mac address;
    std::copy(data.begin(), data.end(), address.begin());
    state.filter.set_mac(address);
    return Ack::Ok;
  }
  if (command != kMacTableSet || !has(state, kCtrlRx)) return Ack::Error;
  std::optional<Bytes> unicast = take_table(data);
  std::optional<Bytes> multicast = unicast ? take_table(data) : std::nullopt;
  if (!multicast || !data.empty()) return Ack::Error;
  state.filter.set_tables(*unicast, *multicast);
  return Ack::Ok;
}

// The 16-bit number that is the whole of `data`.
std::optional<uint16_t> number(Bytes data) {
  uint16_t value;
  if (data.size() != sizeof value) return std::nullopt;
  std::memcpy(&value, data.data(), sizeof value);
  return value;
}

Ack vlan(ControlState& state, uint8_t command, Bytes data) {
  std::optional<uint16_t> id = number(data);
  if (!has(state, kCtrlVlan) || !id || command > kVlanDel) return Ack::Error;
  return state.filter.set_vlan(*id, command == kVlanAdd) ? Ack::Ok : Ack::Error;
}

Ack announce(ControlState& state, uint8_t command, Bytes data) {
  if (!has(state, kGuestAnnounce) || command != kAnnounceAck || !data.empty()) return Ack::Error;
  state.announce = false;
  return Ack::Ok;
}

Ack mq(ControlState& state, uint8_t command, Bytes data) {
  std::optional<uint16_t> pairs = number(data);
  if (!has(state, kMq) || command != kMqPairsSet || !pairs) return Ack::Error;
  if (*pairs == 0 || *pairs > state.max_pairs) return Ack::Error;
  state.pairs = *pairs;
  return Ack::Ok;
}

}  // namespace

Ack control(ControlState& state, Bytes command) {
  if (command.size() < 2 || command.size() > kMaxCommand) return Ack::Error;
  const Bytes data = command.subspan(2);
  switch (command[0]) {
    case kClassRx:
      return rx(state, command[1], data);
    case kClassMac:
      return mac(state, command[1], data);
    case kClassVlan:
      return vlan(state, command[1], data);
    case kClassAnnounce:
      return announce(state, command[1], data);
    case kClassMq:
      return mq(state, command[1], data);
    default:
      return Ack::Error;
  }
}

}  // namespace nacre::virtio_net
