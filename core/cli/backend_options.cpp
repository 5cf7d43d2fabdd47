// -drive, -netdev, -chardev, -serial, -object, -device: what the guest's devices are, and what stands behind them.
#include <algorithm>

#include "core/cli/option_table.hpp"

namespace nacre::cli {
namespace {

constexpr size_t kMaxIothreads = 8;
constexpr size_t kMaxSocketPath = 107;
constexpr const char* kSerialChardev = "serial_chardev";

Result<Chardev> read_chardev(std::string_view option, const Fields& fields, std::string id) {
  Chardev chardev;
  chardev.id = std::move(id);
  const std::string kind = fields.text("kind");
  chardev.kind = kind == "stdio"    ? Chardev::Kind::Stdio
                 : kind == "pty"    ? Chardev::Kind::Pty
                 : kind == "socket" ? Chardev::Kind::Socket
                 : kind == "file"   ? Chardev::Kind::File
                 : kind == "null"   ? Chardev::Kind::Null
                                    : Chardev::Kind::Plugin;
  if (chardev.kind == Chardev::Kind::Plugin) {
    chardev.driver = kind;
    chardev.properties = fields.others;
    return chardev;
  }
  chardev.path = fields.text("path");
  chardev.port = static_cast<uint16_t>(fields.number("port", 0));
  chardev.server = fields.flag("server", false);
  chardev.nowait = fields.flag("nowait", false);
  if (chardev.kind == Chardev::Kind::File && chardev.path.empty())
    return fail("{} file: path is missing; write path=PATH.", option);
  if (chardev.kind != Chardev::Kind::Socket) return chardev;
  if (fields.has("path") == fields.has("port"))
    return fail("{} socket: write either path=PATH for a Unix socket or port=PORT for TCP.", option);
  if (fields.has("path") && fields.has("host"))
    return fail("{} socket: host goes with port, not with path; leave one out.", option);
  if (chardev.path.size() > kMaxSocketPath)
    return fail("{} socket: path is {} bytes long; at most {} are possible for a Unix socket.", option,
                chardev.path.size(), kMaxSocketPath);
  if (chardev.nowait && !chardev.server)
    return fail("{} socket: nowait goes with server; write server,nowait or neither.", option);
  if (fields.has("port")) chardev.host = fields.has("host") ? fields.text("host") : "0.0.0.0";
  return chardev;
}

// The descriptors that the key `one` or the key `several` gives.
Status read_descriptors(const Fields& fields, const char* one, const char* several, std::vector<int>& into) {
  if (fields.has(one) && fields.has(several)) return fail("-netdev: write either {} or {}, not both.", one, several);
  const char* key = fields.has(one) ? one : several;
  if (!fields.has(key)) return {};
  Result<std::vector<int>> numbers = parse_descriptors(fmt::format("-netdev: {}", key), fields.text(key));
  if (!numbers) return numbers.error();
  if (key == one && numbers->size() != 1)
    return fail("-netdev: {} is one descriptor; write {}={} for several.", one, several, fields.text(key));
  into = std::move(*numbers);
  return {};
}

Status add_chardev(Draft& draft, Chardev chardev) {
  for (const Chardev& other : draft.options.chardevs)
    if (other.id == chardev.id) return fail("Chardev {} has been added; give each chardev an id of its own.", other.id);
  draft.options.chardevs.push_back(std::move(chardev));
  return {};
}

// A drive that the machine's flash keeps its content in. It needs no id, and goes through the host's page cache unless
// told otherwise, since the flash has all of it in memory.
Status read_flash(Draft& draft, const Fields& fields, BlockOptions& drive) {
  if (!fields.has("unit"))
    return fail("-drive if=pflash: unit is missing; write unit=0 for the firmware or unit=1 for its variables.");
  const uint64_t unit = fields.number("unit", 0);
  if (!draft.options.flash[unit].empty())
    return fail("-drive if=pflash: unit {} has been added; each unit is one drive.", unit);
  if (!drive.driver.empty())
    return fail("-drive if=pflash: the flash is a file of the host's; leave driver={} out.", drive.driver);
  if (drive.iops_total)
    return fail("-drive if=pflash: flash is not throttled, or variables would be lost; leave throttling out.");
  if (drive.id.empty()) drive.id = fmt::format("pflash{}", unit);
  if (!fields.has("direct")) drive.direct = false;
  if (!fields.has("aio") && !drive.direct) drive.aio = BlockAio::Threads;  // nobody waits for the disk but it
  draft.options.flash[unit] = drive.id;
  return {};
}

}  // namespace

Status apply_drive(Draft& draft, const Given& given) {
  const Fields& fields = given.fields;
  BlockOptions drive;
  drive.id = fields.text("id");
  if (fields.text("driver") != "file") drive.driver = fields.text("driver");
  drive.properties = fields.others;
  drive.file = fields.text("file");
  drive.readonly = fields.flag("readonly", drive.readonly);
  drive.direct = fields.flag("direct", drive.direct);
  drive.iops_total = fields.number("throttling.iops-total", 0);
  if (fields.has("aio")) {
    Result<BlockAio> aio = parse_block_aio(fields.text("aio"));
    if (!aio) return aio.error();
    drive.aio = *aio;
  }
  if (fields.has("discard")) {
    const std::string word = fields.text("discard");
    drive.discard = word == "unmap" || word == "on" || word == "true" || word == "yes";
  }
  if (fields.has("detect-zeroes")) {
    Result<DetectZeroes> detect = parse_detect_zeroes(fields.text("detect-zeroes"));
    if (!detect) return detect.error();
    drive.detect_zeroes = *detect;
  }
  if (fields.text("if") == "pflash") {
    if (Status status = read_flash(draft, fields, drive); !status) return status;
  } else if (fields.has("unit")) {
    return fail("-drive: unit goes with if=pflash; add if=pflash or leave unit out.");
  }
  if (drive.id.empty()) return fail("-drive: id is missing in '{}'; write id=ID.", given.text);
  if (Status status = drive.check(); !status) return status;
  for (const BlockOptions& other : draft.options.drives)
    if (other.id == drive.id) return fail("Drive {} has been added; give each drive an id of its own.", drive.id);
  draft.options.drives.push_back(std::move(drive));
  return {};
}

Status apply_netdev(Draft& draft, const Given& given) {
  const Fields& fields = given.fields;
  NetOptions netdev;
  netdev.id = fields.text("id");
  const std::string kind = fields.text("kind");
  netdev.kind = kind == "user" ? NetKind::User : NetKind::Tap;
  if (kind != "user" && kind != "tap") netdev.driver = kind;
  netdev.properties = fields.others;
  netdev.ifname = fields.text("ifname");
  netdev.path = fields.text("path");
  netdev.queues = static_cast<uint32_t>(fields.number("queues", 0));
  netdev.vhost = fields.flag("vhost", false);
  if (Status read = read_descriptors(fields, "fd", "fds", netdev.fds); !read) return read;
  if (Status read = read_descriptors(fields, "vhostfd", "vhostfds", netdev.vhostfds); !read) return read;
  if (Status status = netdev.check(); !status) return status;
  for (const NetOptions& other : draft.options.netdevs)
    if (other.id == netdev.id) return fail("Netdev {} has been added; give each netdev an id of its own.", netdev.id);
  draft.options.netdevs.push_back(std::move(netdev));
  return {};
}

Status apply_chardev(Draft& draft, const Given& given) {
  Result<Chardev> chardev = read_chardev("-chardev", given.fields, given.fields.text("id"));
  if (!chardev) return chardev.error();
  return add_chardev(draft, std::move(*chardev));
}

Status apply_serial(Draft& draft, const Given& given) {
  if (constexpr std::string_view kPrefix = "chardev:"; given.text.starts_with(kPrefix)) {
    Result<Scalar> id =
        parse_scalar("-serial chardev", given.text.substr(kPrefix.size()), {.name = "", .type = ValueType::Id});
    if (!id) return id.error();
    draft.serial_chardev = id->text;
    return {};
  }
  Result<Chardev> chardev = read_chardev("-serial", given.fields, kSerialChardev);
  if (!chardev) return chardev.error();
  draft.serial_chardev = kSerialChardev;
  return add_chardev(draft, std::move(*chardev));
}

Status apply_object(Draft& draft, const Given& given) {
  std::vector<std::string>& threads = draft.options.iothreads;
  std::vector<RandomSource>& sources = draft.options.random_sources;
  const std::string id = given.fields.text("id");
  if (std::find(threads.begin(), threads.end(), id) != threads.end() ||
      std::any_of(sources.begin(), sources.end(), [&](const RandomSource& source) { return source.id == id; }) ||
      std::any_of(draft.memory_objects.begin(), draft.memory_objects.end(),
                  [&](const MemoryObject& object) { return object.part.options.id == id; }))
    return fail("Object {} has been added; give each object an id of its own.", id);
  if (given.fields.text("kind").starts_with("memory-backend-")) return apply_memory_object(draft, given);
  if (given.fields.text("kind") == "rng-random") {
    sources.push_back({id, given.fields.has("filename") ? given.fields.text("filename") : "/dev/urandom"});
    return {};
  }
  if (threads.size() == kMaxIothreads) return fail("-object: at most {} iothreads are possible.", kMaxIothreads);
  threads.push_back(id);
  return {};
}

Status apply_global(Draft& draft, const Given& given) {
  const std::string_view text = given.text;
  const size_t equals = text.find('='), dot = text.substr(0, equals).rfind('.');
  if (equals == text.npos || dot == text.npos || dot == 0 || dot + 1 == equals)
    return fail("-global: '{}' is not of the form DRIVER.PROPERTY=VALUE, such as pcie-root-port.fast-unplug=1.", text);
  draft.options.globals.push_back({std::string(text.substr(0, dot)),
                                   std::string(text.substr(dot + 1, equals - dot - 1)),
                                   std::string(text.substr(equals + 1))});
  return {};
}

Status apply_device(Draft& draft, const Given& given) {
  Device device{given.fields.text("driver"), given.fields.text("id"), given.fields.others};
  for (const Device& other : draft.options.devices)
    if (!device.id.empty() && other.id == device.id)
      return fail("Device id {} existed; give each device an id of its own.", device.id);
  draft.options.devices.push_back(std::move(device));
  return {};
}

}  // namespace nacre::cli
