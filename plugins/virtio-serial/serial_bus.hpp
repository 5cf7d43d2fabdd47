// The virtio-serial device: it owns the queues, and moves bytes between them and the ports' back ends.
#pragma once

#include <array>
#include <memory>
#include <nacre/loop.hpp>
#include <nacre/virtio_device.hpp>
#include <nacre/virtqueue.hpp>
#include <optional>
#include <vector>

#include "control.hpp"

namespace nacre::virtio_serial {

class Port;

// On the main thread, which is its loop. One a virtual machine.
class SerialBus : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;
  ~SerialBus() override;

  // The one that is realized, or NULL.
  static SerialBus* current() { return current_; }

  sdk::Status realize(nacre_error* slot) override;
  void unrealize() override;
  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override;
  void deactivate() override;

  // Lists the port, whose state has everything but its number. The guest is told when it runs.
  sdk::Status plug(Port& port, std::optional<uint64_t> nr);
  void unplug(Port& port);

  // What a port's back end has to say.
  void input_ready(uint32_t nr) { deliver(nr); }
  void output_ready(uint32_t nr) { transmit(nr); }
  void host_connected(Port& port, bool connected);

 private:
  // One queue while the driver is there.
  struct Ring {
    SerialBus* bus = nullptr;
    uint32_t index = 0;
    int kick_fd = -1;
    bool live = false;
    bool busy = false;  // its function is running: a back end may call back while it is written to
    sdk::Virtqueue queue;
    sdk::Watch kick;
    std::vector<iovec> storage;
    // A chain of output that the back end has taken in part.
    bool held = false;
    uint16_t head = 0;
    sdk::IoVector left;
  };

  static void on_kick(void* ring) noexcept;
  static void again(const Ring& ring);
  void broken(Ring& ring);
  void give_up(const char* why);
  // Takes the next chain, of which a turn of the loop has `budget` to take. False when there is none (the driver will
  // notify), when the turn is over (it comes back by itself), and when the driver has broken the queue.
  bool next(Ring& ring, uint32_t& budget, sdk::DescriptorChain& chain);
  bool usable(const Ring& ring) const { return ring.live && !ring.busy && !dead_; }

  void deliver(uint32_t nr);   // from the host to the guest
  void transmit(uint32_t nr);  // from the guest to the host
  void control();
  uint32_t take_control();
  void flush_control();

  static SerialBus* current_;

  std::optional<Control> control_;
  std::array<Port*, kMaxPorts> ports_{};
  std::unique_ptr<Ring[]> rings_;
  const nacre_memory_view* memory_ = nullptr;
  bool dead_ = false;  // the driver has broken a queue or the protocol; only a reset helps
};

}  // namespace nacre::virtio_serial
