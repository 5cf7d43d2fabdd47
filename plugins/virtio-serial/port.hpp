// A port of the virtio-serial device: virtconsole (hvcN in the guest) or virtserialport (vportNpM).
#pragma once

#include <nacre/chardev.hpp>
#include <nacre/descriptor_chain.hpp>
#include <nacre/device.hpp>

#include "control.hpp"

namespace nacre::virtio_serial {

class SerialBus;

// On the main thread, which is its loop.
class Port : public sdk::Device {
 public:
  Port(nacre_instance* instance, bool console) : Device(instance) { state_.console = console; }
  ~Port() override { release(); }

  sdk::Status realize(nacre_error* slot) override;
  void unrealize() override { release(); }

  PortState& state() { return state_; }
  sdk::Chardev& wire() { return wire_; }
  // Gives the bytes to the back end; false when it has not taken all: what it has taken is gone from `bytes`.
  bool send(sdk::IoVector& bytes);
  // The device has let go of it.
  void unplugged() { bus_ = nullptr; }

 private:
  void release();

  PortState state_;
  sdk::Chardev wire_;
  SerialBus* bus_ = nullptr;
};

struct Console : Port {
  explicit Console(nacre_instance* instance) : Port(instance, true) {}
};
struct SerialPort : Port {
  explicit SerialPort(nacre_instance* instance) : Port(instance, false) {}
};

}  // namespace nacre::virtio_serial
