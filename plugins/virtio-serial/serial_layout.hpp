// The numbers of the console device type (virtio 1.2 §5.3).
#pragma once

#include <cstdint>

namespace nacre::virtio_serial {

inline constexpr uint32_t kDeviceId = 3;
inline constexpr uint32_t kMaxPorts = 31;
inline constexpr uint16_t kDataQueueSize = 128;
inline constexpr uint16_t kControlQueueSize = 32;

// Feature bits, §5.3.3.
enum Feature : unsigned { kSize = 0, kMultiport = 1 };

// §5.3.2: port 0 has the first two queues, control the next two, port n the pair from 2n + 2 on. "Receive" is what the
// driver receives.
inline constexpr uint32_t kControlReceive = 2;
inline constexpr uint32_t kControlTransmit = 3;
constexpr uint32_t receive_queue(uint32_t nr) {
  return nr == 0 ? 0 : 2 * nr + 2;
}
constexpr uint32_t transmit_queue(uint32_t nr) {
  return receive_queue(nr) + 1;
}
constexpr uint32_t queue_count(uint32_t max_ports) {
  return 2 * max_ports + 2;
}

// §5.3.4; not writable, for there is no emergency write.
struct Config {
  uint16_t cols;
  uint16_t rows;
  uint32_t max_nr_ports;
  uint32_t emerg_wr;
};
static_assert(sizeof(Config) == 12);

// §5.3.6.2.
enum ControlEvent : uint16_t {
  kDeviceReady = 0,
  kPortAdd = 1,
  kPortRemove = 2,
  kPortReady = 3,
  kConsolePort = 4,
  kResize = 5,
  kPortOpen = 6,
  kPortName = 7,
};

struct ControlMessage {
  uint32_t id;  // of the port
  uint16_t event;
  uint16_t value;
};
static_assert(sizeof(ControlMessage) == 8);

}  // namespace nacre::virtio_serial
