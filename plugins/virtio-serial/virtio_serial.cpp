// virtio-serial: consoles and byte channels between guest and host (virtio 1.2 §5.3).
#include <nacre/plugin.hpp>

#include "port.hpp"
#include "serial_bus.hpp"

namespace nacre::virtio_serial {
namespace {

constexpr nacre_prop kBusProps[] = {
    {.type = NACRE_PROP_U64,
     .name = "max-ports",
     .help = "how many ports it has room for; each costs two queues in the guest",
     .default_text = "31",
     .min = 1,
     .max = kMaxPorts},
};

constexpr nacre_prop kChardevProp = {.type = NACRE_PROP_NODE,
                                     .flags = NACRE_PROP_REQUIRED,
                                     .name = "chardev",
                                     .help = "what is at the host's end",
                                     .node_kind = "chardev"};

constexpr nacre_prop kConsoleProps[] = {
    kChardevProp,
    {.type = NACRE_PROP_U64,
     .name = "nr",
     .help = "number of the port; the first console gets 0, others the next free"},
};
constexpr nacre_prop kPortProps[] = {
    kChardevProp,
    {.type = NACRE_PROP_U64, .name = "nr", .help = "number of the port, from 1; the next free one by default"},
};

constexpr nacre_type kBus =
    sdk::device_type<SerialBus>("virtio-serial-device", "virtio", "room for consoles and serial ports", kBusProps);
constexpr nacre_type kConsole = sdk::device_type<Console>("virtconsole", "virtio-serial", "a console of the guest",
                                                          kConsoleProps, NACRE_TYPE_HOTPLUGGABLE);
constexpr nacre_type kPort =
    sdk::device_type<SerialPort>("virtserialport", "virtio-serial", "a channel of bytes between guest and host",
                                 kPortProps, NACRE_TYPE_HOTPLUGGABLE);

}  // namespace
}  // namespace nacre::virtio_serial

NACRE_PLUGIN(&nacre::virtio_serial::kBus, &nacre::virtio_serial::kConsole, &nacre::virtio_serial::kPort);
