// The control protocol of a virtio-serial device (virtio 1.2 §5.3.6.2): which ports there are, and what both sides have
// told each other about them. Queues and bytes are elsewhere.
#pragma once

#include <array>
#include <deque>
#include <nacre/result.hpp>
#include <optional>
#include <string>

#include "serial_layout.hpp"

namespace nacre::virtio_serial {

// One port as the protocol sees it.
struct PortState {
  uint32_t nr = 0;
  std::string name;  // what the guest is told: the device's id
  bool console = false;
  bool host_connected = false;  // somebody is at the host's end; a console always counts as connected
  bool guest_open = false;      // the guest has opened it: it may be sent data
  bool ready = false;           // the driver has set it up
  bool announced = false;       // the driver has been told of it since DEVICE_READY
};

// What goes to the driver: the message, and after it the name of PORT_NAME.
struct Outgoing {
  ControlMessage message;
  std::string name;
};

// Used on one thread. The ports are the caller's, and stay where they are while they are listed here.
class Control {
 public:
  // Beyond this many waiting messages nothing of the driver's is taken: one that never fetches answers gets no memory.
  static constexpr size_t kMaxWaiting = 4 * kMaxPorts;

  explicit Control(uint32_t max_ports) : max_ports_(max_ports) {}

  // Chooses a number for a port: the wanted one, or else 0 for the first console and the next free one from 1 for
  // others. Fails with one sentence.
  sdk::Result<uint32_t> choose(std::optional<uint64_t> wanted, bool console) const;

  // Lists the port under port.nr, which choose() gave, and tells the driver when it is there.
  void add(PortState& port);
  // The opposite.
  void remove(PortState& port);
  // Somebody has come to the host's end of the port, or left it.
  void set_host_connected(PortState& port, bool connected);

  // The driver begins, with or without ports beyond the first, or is gone. Without, port 0 is open at once.
  void start(bool multiport);
  void stop();

  // Whether accept() may be called now.
  bool has_room() const { return waiting_.size() < kMaxWaiting; }
  // A message of the driver's. What makes no sense is ignored. Returns the port that the guest has opened or closed by
  // it, or NULL.
  PortState* accept(const ControlMessage& message);

  // What waits for a buffer of the driver's.
  const Outgoing* front() const { return waiting_.empty() ? nullptr : &waiting_.front(); }
  void pop();

  PortState* port(uint32_t nr) const { return nr < kMaxPorts ? ports_[nr] : nullptr; }
  uint32_t max_ports() const { return max_ports_; }

 private:
  void announce(PortState& port);
  void send(uint32_t id, ControlEvent event, uint16_t value, std::string name = {}) {
    waiting_.push_back({{id, event, value}, std::move(name)});
  }

  const uint32_t max_ports_;
  std::array<PortState*, kMaxPorts> ports_{};
  bool multiport_ = false;
  bool device_ready_ = false;
  std::deque<Outgoing> waiting_;
  uint32_t stale_ = 0;  // ports (by bit) whose PORT_OPEN found no room: sent when there is some
};

}  // namespace nacre::virtio_serial
