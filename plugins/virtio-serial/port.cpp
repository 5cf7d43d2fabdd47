#include "port.hpp"

#include "serial_bus.hpp"

namespace nacre::virtio_serial {

sdk::Status Port::realize(nacre_error* slot) {
  SerialBus* bus = SerialBus::current();
  if (!bus) return sdk::fail("there is no virtio-serial device for it: put -device virtio-serial-device before it.");
  static constexpr nacre_chardev_events kEvents{sizeof(nacre_chardev_events),
                                                0,
                                                [](void* self) noexcept {
                                                  Port& port = *static_cast<Port*>(self);
                                                  if (port.bus_) port.bus_->input_ready(port.state_.nr);
                                                },
                                                [](void* self) noexcept {
                                                  Port& port = *static_cast<Port*>(self);
                                                  if (port.bus_) port.bus_->output_ready(port.state_.nr);
                                                },
                                                [](void* self) noexcept {
                                                  Port& port = *static_cast<Port*>(self);
                                                  if (port.bus_) port.bus_->host_connected(port, true);
                                                },
                                                [](void* self) noexcept {
                                                  Port& port = *static_cast<Port*>(self);
                                                  if (port.bus_) port.bus_->host_connected(port, false);
                                                }};
  if (sdk::Status opened = wire_.open(instance(), text("chardev"), kEvents, this, slot); !opened) return opened;
  state_.name = text("id");
  if (sdk::Status plugged = bus->plug(*this, u64("nr")); !plugged) return plugged;
  bus_ = bus;
  // Who has connected before there was a bus to tell is told of by the back end's event, which comes later.
  return {};
}

void Port::release() {
  if (bus_) bus_->unplug(*this);
  wire_.close();
}

bool Port::send(sdk::IoVector& bytes) {
  while (bytes.length()) {
    const iovec& first = *bytes.data();
    const uint32_t taken = wire_.write(first.iov_base, static_cast<uint32_t>(first.iov_len));
    const bool all = taken == first.iov_len;
    bytes.drop_front(taken);
    if (!all) return false;
  }
  return true;
}

}  // namespace nacre::virtio_serial
