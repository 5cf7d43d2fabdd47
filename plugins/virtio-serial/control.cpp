#include "control.hpp"

namespace nacre::virtio_serial {

using sdk::fail;

sdk::Result<uint32_t> Control::choose(std::optional<uint64_t> wanted, bool console) const {
  if (!wanted) {
    if (console && !ports_[0]) return 0u;
    for (uint32_t nr = 1; nr < max_ports_; ++nr)
      if (!ports_[nr]) return nr;
    return fail("every port of the virtio-serial device (max-ports=", std::to_string(max_ports_), ") is taken",
                console || ports_[0] ? "" : " (port 0 is reserved for a virtconsole)",
                "; give it a larger max-ports, up to ", std::to_string(kMaxPorts), ".");
  }
  if (*wanted >= max_ports_)
    return fail("virtio serial port nr ", std::to_string(*wanted), " should be less than virtio serial's max_nr_ports ",
                std::to_string(max_ports_));
  const uint32_t nr = static_cast<uint32_t>(*wanted);
  if (nr == 0 && !console) return fail("Port number 0 on virtio-serial devices reserved for virtconsole device.");
  if (ports_[nr])
    return fail("virtio serial port nr ", std::to_string(nr), " is taken by '", ports_[nr]->name,
                "'; choose another or leave nr out.");
  return nr;
}

void Control::announce(PortState& port) {
  port.announced = true;
  port.ready = false;
  send(port.nr, kPortAdd, 1);
}

void Control::add(PortState& port) {
  ports_[port.nr] = &port;
  port.guest_open = port.ready = port.announced = false;
  if (device_ready_) announce(port);
}

void Control::remove(PortState& port) {
  ports_[port.nr] = nullptr;
  stale_ &= ~(1u << port.nr);
  // What still waits for the driver is of a port that is gone.
  std::erase_if(waiting_, [&](const Outgoing& out) { return out.message.id == port.nr; });
  if (port.announced) send(port.nr, kPortRemove, 1);
  port.guest_open = port.ready = port.announced = false;
}

void Control::set_host_connected(PortState& port, bool connected) {
  port.host_connected = connected;
  if (!port.ready || port.console) return;
  if (has_room())
    send(port.nr, kPortOpen, connected);
  else
    stale_ |= 1u << port.nr;
}

void Control::start(bool multiport) {
  stop();
  multiport_ = multiport;
  if (!multiport && ports_[0]) ports_[0]->guest_open = true;
}

void Control::stop() {
  multiport_ = device_ready_ = false;
  waiting_.clear();
  stale_ = 0;
  for (PortState* port : ports_)
    if (port) port->guest_open = port->ready = port->announced = false;
}

PortState* Control::accept(const ControlMessage& message) {
  if (!multiport_) return nullptr;
  if (message.event == kDeviceReady) {
    // Once: a driver that says it again has its ports already. Another value says that it could not begin.
    if (message.value != 1 || device_ready_) return nullptr;
    device_ready_ = true;
    for (PortState* port : ports_)
      if (port) announce(*port);
    return nullptr;
  }
  PortState* port = this->port(message.id);
  if (!port || !port->announced) return nullptr;
  if (message.event == kPortReady) {
    if (message.value != 1 || port->ready) return nullptr;
    port->ready = true;
    if (port->console) send(port->nr, kConsolePort, 1);
    send(port->nr, kPortName, 1, port->name);
    if (port->console || port->host_connected) send(port->nr, kPortOpen, 1);
    return nullptr;
  }
  if (message.event == kPortOpen && port->guest_open != (message.value != 0)) {
    port->guest_open = message.value != 0;
    return port;
  }
  return nullptr;
}

void Control::pop() {
  waiting_.pop_front();
  for (uint32_t nr = 0; stale_ && nr < kMaxPorts && has_room(); ++nr) {
    if (!(stale_ >> nr & 1)) continue;
    stale_ &= ~(1u << nr);
    send(nr, kPortOpen, ports_[nr]->host_connected);
  }
}

}  // namespace nacre::virtio_serial
