// The management side of a machine by its real handlers, and the guest's part in it: commands of every kind with right
// and wrong arguments, raw bytes, devices that come and go while the guest answers, refuses or does something else.
#include <algorithm>
#include <string>

#include "qmp/session.hpp"
#include "tests/fuzz/guest.hpp"
#include "tests/fuzz/qmp_answers.hpp"

namespace nacre::fuzz {
namespace {

constexpr int kMostSteps = 40;

// $ and a letter stand for a word of the list of that letter, below.
constexpr const char* kCommands[] = {
    R"({"execute":"device_add","arguments":{"driver":"$D","id":"$I","drive":"$K","bus":"$B","addr":"$A"}})",
    R"({"execute":"device_add","arguments":{"driver":"virtio-blk-pci","id":"$I","drive":"$K","bus":"$B","addr":"0x0"}})",
    R"({"execute":"device_add","arguments":{"driver":"virtio-blk-mmio","id":"$I","drive":"$K","addr":"$A"}})",
    R"({"execute":"device_add","arguments":{"driver":"virtio-net-mmio","id":"$I","netdev":"$N","addr":"$A"}})",
    R"({"execute":"device_add","arguments":{"driver":"virtio-net-pci","id":"$I","netdev":"$N","bus":"$B","addr":"$A"}})",
    R"({"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"$I","rng":"r0","bus":"$B","addr":"$A"}})",
    R"({"execute":"device_add","arguments":{"driver":"generic-x86-cpu","id":"$I","cpu-id":$n}})",
    R"({"execute":"device_add","arguments":{"driver":"pcie-root-port","id":"$B","bus":"$B","addr":"$A","port":$n}})",
    R"({"execute":"device_add","arguments":{"driver":"virtserialport","id":"$I","chardev":"$C","nr":$n}})",
    R"({"execute":"device_add","arguments":{"driver":"$D","id":"$I","$Q":$V,"$Q":$V}})",
    R"({"execute":"device_del","arguments":{"id":"$I"}})",
    R"({"execute":"device_del","arguments":{"id":"$I"}})",
    R"({"execute":"blockdev-add","arguments":{"node-name":"$K","driver":"raw","file":{"driver":"file","filename":"$F"},"cache":{"direct":false}}})",
    R"({"execute":"blockdev-add","arguments":{"node-name":"$K","file":{"driver":"$W","filename":"$F","aio":"$W"},"read-only":$b,"cache":{"direct":false}}})",
    R"({"execute":"blockdev-add","arguments":{"node-name":"$K","file":{"driver":"file","filename":"$F"},"cache":{"direct":false},"discard":"$W","detect-zeroes":"$W","throttling.iops-total":$n}})",
    R"({"execute":"blockdev-add","arguments":{"node-name":"$K","driver":"$D","$Q":$V}})",
    R"({"execute":"blockdev-del","arguments":{"node-name":"$K"}})",
    R"({"execute":"netdev_add","arguments":{"id":"$N","type":"fuzz-station","address":"192.0.2.9"}})",
    R"({"execute":"netdev_add","arguments":{"id":"$N","type":"$W","ifname":"$W","queues":$n,"vhost":$b}})",
    R"({"execute":"netdev_add","arguments":{"id":"$N","type":"tap","fds":"$W","vhostfds":"$W"}})",
    R"({"execute":"netdev_del","arguments":{"id":"$N"}})",
    R"({"execute":"announce-self","arguments":{"initial":$n,"max":$n,"rounds":$n,"step":$n,"interfaces":$V}})",
    R"({"execute":"chardev-add","arguments":{"id":"$C","backend":{"type":"fuzz-echo","data":{"size":$n}}}})",
    R"({"execute":"chardev-add","arguments":{"id":"$C","backend":{"type":"socket","data":{"addr":{"type":"unix","data":{"path":"$F"}},"server":$b}}}})",
    R"({"execute":"chardev-remove","arguments":{"id":"$C"}})",
    R"({"execute":"balloon","arguments":{"value":$n}})",
    R"({"execute":"query-balloon"})",
    R"({"execute":"query-balloon-stats"})",
    R"({"execute":"query-hotpluggable-cpus"})",
    R"({"execute":"query-cpus"})",
    R"({"execute":"query-block"})",
    R"({"execute":"query-chardev"})",
    R"({"execute":"query-named-block-nodes"})",
    R"({"execute":"query-blockstats"})",
    R"({"execute":"query-mem-gpa","arguments":{"gpa":"$W"}})",
    R"({"execute":"query-vcpu-reg","arguments":{"addr":"$W","vcpu":$n}})",
    R"({"execute":"qom-list","arguments":{"path":"$O"}})",
    R"({"execute":"qom-get","arguments":{"path":"$O","property":"$Q"}})",
    R"({"execute":"device-list-properties","arguments":{"typename":"$D"}})",
    R"({"execute":"qom-list-types"})",
    R"({"execute":"query-plugins"})",
    R"({"execute":"query-status"})",
    R"({"execute":"query-iothreads"})",
    R"({"execute":"query-command-line-options"})",
    R"({"execute":"plugin-load","arguments":{"file":"$F"}})",
    R"({"execute":"plugin-disable","arguments":{"id":"$L"}})",
    R"({"execute":"getfd","arguments":{"fdname":"$W"}})",
    R"({"execute":"$E","arguments":{"$Q":$V,"$Q":$V}})",
    R"({"execute":"stop"})",
    R"({"execute":"cont"})",
    R"({"execute":"system_reset"})",
    R"({"execute":"system_powerdown"})",
    R"({"execute":"quit"})",
};
struct List {
  char letter;
  std::vector<std::string_view> words;
};
const List& list_of(char letter) {
  static const List kLists[] = {
      {'D', {"virtio-blk-pci",    "virtio-blk-device",  "virtio-net-pci",    "virtio-net-device", "virtio-rng-pci",
             "virtio-rng-device", "virtio-balloon-pci", "virtio-serial-pci", "virtconsole",       "virtserialport",
             "pcie-root-port",    "generic-x86-cpu",    "isa-serial",        "mc146818rtc",       "acpi-power",
             "pflash-cfi01",      "vhost-user-fs-pci",  "vhost-vsock-pci",   "fuzz-station",      "fuzz-echo",
             "virtio-blk-mmio",   "virtio-net-mmio"}},
      {'I', {"disk", "second", "net", "random", "balloon", "vs", "console", "port", "i1", "i2", "i3", "pcie.1"}},
      {'K', {"d0", "d1", "k1", "k2", "k3", "f0", "f1"}},
      {'N', {"n0", "n1", "n2", "i1"}},
      {'C', {"c0", "c1", "c2", "c3", "c4"}},
      {'B', {"pcie.0", "pcie.1", "pcie.2", "pcie.3", "pcie.4", "vs.0", ""}},
      {'A', {"0x0", "0x1", "0", "1", "0x1f", "0x5.0x1", "5.7", "32", "-1", "0x"}},
      {'F', {"disk", "second", "code", "vars", "extra", "", ".", "socket"}},
      {'W', {"file",     "host_device", "raw",        "native", "threads", "off", "on",  "unmap",
             "io_uring", "tap",         "user",       "0",      "1",       "0x0", "7:8", "99999999999999999999",
             "0x100000", "fd",          "vhost-user", "-1"}},
      {'O',
       {"/", "/machine", "/machine/peripheral", "/machine/peripheral/disk", "/machine/peripheral/i1",
        "/machine/unattached", "machine", "/machine/peripheral/", "//"}},
      {'Q', {"id",        "drive",      "bus",        "addr",     "chardev",       "netdev",    "rng",        "mac",
             "serial",    "num-queues", "queue-size", "iothread", "multifunction", "bootindex", "boot_index", "nr",
             "max-bytes", "period",     "cpu-id",     "port",     "driver",        "type",      "value"}},
      {'L',
       {"org.nacre.virtio-blk", "org.nacre.virtio-net", "org.nacre.virtio-rng", "org.nacre.fuzz-echo",
        "org.nacre.serial"}},
      {'n', {"0", "1", "2", "3", "4", "255", "65536", "-1", "134217728", "67108864", "1e400", "9223372036854775807"}},
      {'b', {"true", "false", "null", "1"}},
      {'V', {"\"d0\"", "\"n0\"", "\"r0\"",   "\"c1\"",    "true",
             "false",  "null",   "0",        "1",         "-1",
             "1.5",    "[]",     "{}",       "[\"net\"]", "\"52:54:00:00:00:01\"",
             "\"4\"",  "\"\"",   "[[[[]]]]", "\"on\"",    "18446744073709551615"}},
      {'E',
       {"device_add", "device_del", "blockdev-add", "netdev_add", "chardev-add", "balloon", "qom-get", "query-cpus",
        "no-such", ""}},
  };
  for (const List& list : kLists)
    if (list.letter == letter) return list;
  std::abort();
}

// A command with its holes filled, now and then with a byte of it changed.
std::string command(Input& input) {
  std::string made;
  const std::string_view form = kCommands[input.below(std::size(kCommands))];
  for (size_t at = 0; at < form.size(); ++at) {
    if (form[at] != '$') {
      made += form[at];
      continue;
    }
    const auto& words = list_of(form[++at]).words;
    made += words[input.below(static_cast<uint32_t>(words.size()))];
  }
  if (input.below(16) == 0) made[input.number<uint16_t>() % made.size()] = static_cast<char>(input.number<uint8_t>());
  return made;
}

// Nobody names a file outside of the folder of the run: no '/' but in what has no file, none by an escape.
bool is_harmless(const std::string& text) {
  return text.find("..") == std::string::npos && text.find('\\') == std::string::npos &&
         (text.find('/') == std::string::npos || text.find("\"qom-") != std::string::npos);
}

// Commands after which the machine is another.
bool changes_back_ends(const std::string& text) {
  for (const char* word : {"blockdev", "netdev", "chardev", "plugin"})
    if (text.find(word) != std::string::npos) return true;
  return false;
}

class Client {
 public:
  explicit Client(Monitor& monitor) : session_(monitor.dispatcher()) { say(R"({"execute":"qmp_capabilities"})"); }

  // True where a command was carried out.
  bool say(const std::string& text) {
    session_.feed(text);
    bool done = false;
    for_each_answer(session_.output(),
                    [&done](const boost::json::object& answer) { done |= answer.contains("return"); });
    session_.sent(session_.output().size());
    return done;
  }
  bool closed() const { return session_.closed(); }

 private:
  qmp::Session session_;
};

bool changed = false;  // by the run before

}  // namespace

void run(Input& input) {
  MachineUnderTest& machine = MachineUnderTest::take(std::exchange(changed, false));
  const bool whole_reset = input.left() % 8 == 0;
  Guest guest(machine);
  auto client = std::make_unique<Client>(machine.monitor());
  for (int step = 0; step < kMostSteps && !input.empty() && !machine.ended(); ++step) {
    const uint8_t what = input.number<uint8_t>();
    switch (what & 15) {
      case 8: {
        const std::string text = input.text(input.below(64));
        if (is_harmless(text)) client->say(text);
        break;
      }
      case 9:
        guest.place();
        break;
      case 10:
      case 11:
        guest.answer_hotplug(input);
        break;
      case 12:
        guest.bring_up(input);
        break;
      case 13:
        guest.request(input);
        break;
      case 14:
        if (what & 16)
          guest.configure(input);
        else
          guest.write_registers(input);
        break;
      case 15:
        machine.pass(uint64_t{input.number<uint16_t>()} << 12);
        break;
      default: {
        const std::string text = command(input);
        if (is_harmless(text) && client->say(text)) changed |= changes_back_ends(text);
      }
    }
    if (what & 0x80) machine.serve();
    if (client->closed()) client = std::make_unique<Client>(machine.monitor());
  }
  machine.serve();
  if (whole_reset && !machine.ended()) guest.require_all_work_after_a_reset();
}

}  // namespace nacre::fuzz
