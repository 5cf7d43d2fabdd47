#include "core/cli/option_table.hpp"

#include <nacre/abi/entry.h>

namespace nacre::cli {
namespace {

using enum ValueType;

constexpr uint64_t kMaxCpus = 254;

constexpr Key kMachineKeys[] = {
    {.name = "type", .help = "the machine type; 'none' builds no machine", .fallback = "microvm"},
    {.name = "accel",
     .type = Choice,
     .help = "what runs the vCPUs; -accel says the same",
     .fallback = "kvm",
     .values = "kvm|qtest|test",
     .later = "kvm:tcg"},
    {.name = "dump-guest-core", .type = Bool, .help = "guest memory is part of a core dump", .fallback = "on"},
    {.name = "mem-share", .type = Bool, .help = "other processes can map guest memory", .fallback = "off"},
    {.name = "memory-backend", .type = Id, .help = "the -object memory-backend-* that is all of guest memory"},
    {.name = "usb", .type = Choice, .help = "for libvirt", .fallback = "off", .values = "off"},
};
constexpr Key kCpuKeys[] = {
    {.name = "family", .type = Choice, .help = "the CPU model: the host's", .required = true, .values = "host"},
    {.name = "pmu", .type = Bool, .help = "performance counters, for Arm; on x86 they are there if the host has them"},
    {.name = "sve", .type = Bool, .help = "scalable vectors; can be on for Arm only", .fallback = "off"},
    {.name = "kvm-steal-time", .type = Bool, .help = "stolen time; can be on for Arm only", .fallback = "off"},
};
constexpr Key kSmpKeys[] = {
    {.name = "cpus", .type = Integer, .help = "vCPUs at the start", .required = true, .low = 1, .high = kMaxCpus},
    {.name = "maxcpus", .type = Integer, .help = "vCPUs at most", .fallback = "as many", .low = 1, .high = kMaxCpus},
    {.name = "sockets", .type = Integer, .help = "sockets", .fallback = "1, or the rest", .low = 1, .high = kMaxCpus},
    {.name = "dies", .type = Integer, .help = "dies of a socket", .fallback = "1", .low = 1, .high = kMaxCpus},
    {.name = "clusters", .type = Integer, .help = "clusters of a die", .fallback = "1", .low = 1, .high = kMaxCpus},
    {.name = "cores",
     .type = Integer,
     .help = "cores of a cluster",
     .fallback = "the rest",
     .low = 1,
     .high = kMaxCpus},
    {.name = "threads",
     .type = Integer,
     .help = "threads of a core",
     .fallback = "1, or the rest",
     .low = 1,
     .high = kMaxCpus},
};
constexpr Key kMemoryKeys[] = {
    {.name = "size", .type = Size, .help = "guest memory, 128 MiB to 512 GiB", .fallback = "256M", .required = true},
    {.name = "maxmem", .type = Size, .help = "address space set aside for memory, at least size", .fallback = "size"},
};
constexpr Key kLandlockKeys[] = {
    {.name = "path", .type = Path, .help = "a file, or a directory with all below it", .required = true},
    {.name = "access",
     .type = Choice,
     .help = "to read, or to write and make files too",
     .fallback = "ro",
     .values = "ro|rw"},
};
constexpr Key kNumaKeys[] = {
    {.name = "kind",
     .type = Choice,
     .help = "a node, or how far one is from another",
     .required = true,
     .values = "node|dist",
     .later = "cpu|hmat-lb|hmat-cache"},
    {.name = "nodeid", .type = Integer, .help = "number of the node", .required = true, .kinds = "node", .high = 127},
    {.name = "cpus", .help = "its vCPUs, as 0-1:4; those of no node are node 0's", .kinds = "node"},
    {.name = "memdev",
     .type = Id,
     .help = "the -object memory-backend-* that is its memory",
     .required = true,
     .kinds = "node"},
    {.name = "src", .type = Integer, .help = "from this node", .required = true, .kinds = "dist", .high = 127},
    {.name = "dst", .type = Integer, .help = "to this one", .required = true, .kinds = "dist", .high = 127},
    {.name = "val",
     .type = Integer,
     .help = "10 to itself, more to others",
     .fallback = "10, and 20",
     .required = true,
     .kinds = "dist",
     .low = 10,
     .high = 255},
};
constexpr Key kDriveKeys[] = {
    {.name = "id", .type = Id, .help = "the name that -device drive= refers to; needed but for if=pflash"},
    {.name = "driver",
     .type = Choice,
     .help = "who keeps the data: a file, or a driver of a plugin",
     .fallback = "file",
     .values = "file",
     .foreign = true},
    {.name = "file", .type = Path, .help = "a regular file or a block device", .required = true, .kinds = "file"},
    {.name = "if", .type = Choice, .help = "what the drive is for", .fallback = "none", .values = "none|pflash"},
    {.name = "readonly", .type = Bool, .help = "the guest cannot write", .fallback = "off"},
    {.name = "direct",
     .type = Bool,
     .help = "past the host's page cache (O_DIRECT)",
     .fallback = "on",
     .kinds = "file"},
    {.name = "throttling.iops-total",
     .type = Integer,
     .help = "requests per second at most, 0 for no limit",
     .fallback = "0",
     .high = BlockOptions::kMaxIops},
    {.name = "aio",
     .type = Choice,
     .help = "how requests are done",
     .fallback = "native with direct=on, off with direct=off",
     .values = "native|io_uring|threads|off",
     .kinds = "file"},
    {.name = "media", .type = Choice, .help = "kind of medium", .fallback = "disk", .values = "disk", .later = "cdrom"},
    {.name = "discard",
     .type = Choice,
     .help = "discards reach the file",
     .fallback = "ignore",
     .values = "unmap|ignore|on|off|true|false|yes|no",
     .kinds = "file"},
    {.name = "detect-zeroes",
     .type = Choice,
     .help = "turn writes of zeroes into holes",
     .fallback = "off",
     .values = "off|on|unmap",
     .kinds = "file"},
    {.name = "format",
     .type = Choice,
     .help = "format of the file",
     .fallback = "raw",
     .values = "raw",
     .later = "qcow2",
     .kinds = "file"},
    {.name = "unit",
     .type = Integer,
     .help = "with if=pflash: 0 for the firmware, 1 for its variables",
     .kinds = "file",
     .high = 1},
    {.name = "l2-cache-size", .type = Later, .help = "it goes with format=qcow2", .kinds = "file"},
    {.name = "refcount-cache-size", .type = Later, .help = "it goes with format=qcow2", .kinds = "file"},
};
constexpr Key kNetdevKeys[] = {
    {.name = "kind",
     .type = Choice,
     .help = "an interface of the host, a network by passt, or a driver of a plugin",
     .required = true,
     .values = "tap|user",
     .later = "vhost-user",
     .foreign = true},
    {.name = "id", .type = Id, .help = "the name that -device netdev= refers to", .required = true},
    {.name = "ifname", .help = "name of the tap", .kinds = "tap"},
    {.name = "fd", .help = "an inherited descriptor of the tap, in place of ifname", .kinds = "tap"},
    {.name = "fds", .help = "several, as 3:4:5, one a queue", .kinds = "tap"},
    {.name = "path", .type = Path, .help = "node to open for ifname", .fallback = NetOptions::kTunNode, .kinds = "tap"},
    {.name = "queues",
     .type = Integer,
     .help = "pairs of queues",
     .fallback = "1, or one for each descriptor",
     .kinds = "tap",
     .low = 1,
     .high = NetOptions::kMaxQueues},
    {.name = "vhost",
     .type = Bool,
     .help = "the kernel's vhost-net moves the frames",
     .fallback = "off",
     .kinds = "tap"},
    {.name = "vhostfd", .help = "an inherited descriptor of /dev/vhost-net", .kinds = "tap"},
    {.name = "vhostfds", .help = "several, as 6:7:8, one a pair of queues", .kinds = "tap"},
    {.name = "chardev", .type = Later, .help = "it goes with vhost-user", .kinds = "tap|user"},
    {.name = "macnat",
     .type = Choice,
     .help = "translation of MAC addresses, for ipvtap",
     .fallback = "off",
     .values = "off|false|no|ignore",
     .later = "on|true|yes",
     .kinds = "tap|user"},
};
constexpr Key kChardevKeys[] = {
    {.name = "kind",
     .type = Choice,
     .help = "what is at the other end, or a driver of a plugin",
     .required = true,
     .values = "stdio|pty|socket|file|null",
     .later = "redirect-to-log",
     .foreign = true},
    {.name = "path",
     .type = Path,
     .help = "the Unix socket, or the file, which must not be a link",
     .kinds = "socket|file"},
    {.name = "port", .type = Integer, .help = "TCP port, in place of path", .kinds = "socket", .low = 1, .high = 65535},
    {.name = "host", .type = Ipv4, .help = "address that goes with port", .fallback = "0.0.0.0", .kinds = "socket"},
    {.name = "server", .type = Flag, .help = "listen; a serial port and -mon need it", .kinds = "socket"},
    {.name = "nowait", .type = Flag, .help = "start without a client; goes with server", .kinds = "socket"},
    {.name = "id", .type = Id, .help = "the name others refer to", .required = true},
};
constexpr Key kDeviceKeys[] = {
    {.name = "driver", .help = "the device's type", .required = true},
    {.name = "id", .type = Id, .help = "the name in QMP", .fallback = "made up"},
};
constexpr std::string_view kMemoryKinds = "memory-backend-ram|memory-backend-file|memory-backend-memfd";
constexpr Key kObjectKeys[] = {
    {.name = "kind",
     .type = Choice,
     .help = "what to make: a thread for devices, random bytes, guest memory",
     .required = true,
     .values = "iothread|rng-random|memory-backend-ram|memory-backend-file|memory-backend-memfd",
     .later = "tls-creds-x509|authz-simple",
     .wrong = "-object: Unknown object type"},
    {.name = "id", .type = Id, .help = "the name others refer to", .required = true},
    {.name = "filename",
     .type = Path,
     .help = "a character device to read from",
     .fallback = "/dev/urandom",
     .kinds = "rng-random"},
    {.name = "size", .type = Size, .help = "of the memory", .required = true, .kinds = kMemoryKinds},
    {.name = "mem-path",
     .type = Path,
     .help = "the file, or a directory to make one in",
     .required = true,
     .kinds = "memory-backend-file"},
    {.name = "share",
     .type = Bool,
     .help = "others can map it",
     .fallback = "off for ram, else on",
     .kinds = kMemoryKinds},
    {.name = "dump-guest-core", .type = Bool, .help = "part of a core dump", .fallback = "on", .kinds = kMemoryKinds},
    {.name = "dump", .type = Bool, .help = "the same, as QEMU spells it", .kinds = kMemoryKinds},
    {.name = "mem-prealloc",
     .type = Bool,
     .help = "pages are there before the guest starts",
     .fallback = "off",
     .kinds = kMemoryKinds},
    {.name = "prealloc", .type = Bool, .help = "the same, as QEMU spells it", .kinds = kMemoryKinds},
    {.name = "host-nodes", .help = "NUMA nodes of the host, as 0-1:4", .kinds = kMemoryKinds},
    {.name = "policy",
     .type = Choice,
     .help = "how they are used",
     .fallback = "bind with host-nodes",
     .values = "default|preferred|bind|interleave",
     .kinds = kMemoryKinds},
    {.name = "hugetlb",
     .type = Bool,
     .help = "from the host's pool of huge pages",
     .fallback = "off",
     .kinds = "memory-backend-memfd"},
    {.name = "hugetlbsize",
     .type = Size,
     .help = "the size of those pages",
     .fallback = "the host's",
     .kinds = "memory-backend-memfd"},
};
constexpr Key kQmpKeys[] = {
    {.name = "address", .help = "unix:PATH or tcp:IP:PORT", .required = true},
    {.name = "server", .type = Flag, .help = "listen; must be there"},
    {.name = "nowait", .type = Flag, .help = "start without a client; must be there"},
    {.name = "iothread", .type = Id, .help = "the -object iothread that serves it", .fallback = "the main thread"},
};
constexpr Key kMonKeys[] = {
    {.name = "chardev", .type = Id, .help = "a -chardev socket with server,nowait", .required = true},
    {.name = "mode", .type = Choice, .help = "the language spoken: QMP", .required = true, .values = "control"},
    {.name = "id", .type = Id, .help = "a name"},
};
constexpr Key kPluginKeys[] = {
    {.name = "file", .type = Path, .help = "use this plugin file too"},
    {.name = "prefer", .type = Path, .help = "use this plugin, by id or file, where several offer the same"},
};

// Options that StratoVirt has and this version has not are known, so that they are refused for the right reason.
constexpr Option later(std::string_view name, std::string_view why, Takes takes = Takes::MaybeValue) {
  return {.name = name, .section = Section::Later, .takes = takes, .repeatable = true, .help = why};
}
constexpr Option ignored(std::string_view name) {
  return {.name = name,
          .section = Section::Ignored,
          .takes = Takes::MaybeValue,
          .repeatable = true,
          .help = "accepted for libvirt, without effect"};
}

constexpr Option kTable[] = {
    {.name = "machine",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "[type=]TYPE[,KEY=VALUE...]",
     .help = "the machine type and its properties (default microvm)",
     .more = "Other keys are properties of the machine type: '-machine TYPE,help' lists them.\n",
     .grammar = {.keys = kMachineKeys, .bare_first = true, .open = true},
     .apply = apply_machine,
     .offers = NACRE_KIND_MACHINE},
    {.name = "accel",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "kvm|qtest|test",
     .help = "what runs the vCPUs (default kvm)",
     .more = "With qtest and test there are none, and no KVM is needed: a test drives the machine, by -qtest or by\n"
             "  -mod-test, and its time is virtual.\n",
     .value = {.name = "", .type = Choice, .values = "kvm|qtest|test", .later = "kvm:tcg"},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.accel = given.value.text;
           return Status();
         }},
    {.name = "cpu",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "host[,FEATURE=on|off...]",
     .help = "the CPU model, and features that guests are not to see (default host)",
     .more = "-FEATURE stands for FEATURE=off; on, or +FEATURE, fails where this host cannot give it.\n",
     .grammar = {.keys = kCpuKeys, .bare_first = true, .open = true, .signs = true},
     .apply = apply_cpu,
     .lists = list_cpu_features},
    {.name = "smp",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "[cpus=]N[,KEY=N...]",
     .help = "number of vCPUs and how they are laid out (default 1)",
     .more = "sockets * dies * clusters * cores * threads is maxcpus.\n",
     .grammar = {.keys = kSmpKeys, .bare_first = true},
     .apply = apply_smp},
    {.name = "m",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "[size=]SIZE[,maxmem=SIZE]",
     .help = "guest memory, in MiB or with K, M, G (default 256M)",
     .grammar = {.keys = kMemoryKeys, .bare_first = true},
     .apply = apply_memory},
    {.name = "mem-path",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "PATH",
     .help = "guest memory is a file, or one made in a directory such as /dev/hugepages",
     .more = "A file that is not there is made, and its name taken away. Written only with -machine mem-share=on.\n"
             "  With -numa or -machine memory-backend= each back end has its own.\n",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.mem_path = given.value.text;
           return Status();
         }},
    {.name = "mem-prealloc",
     .section = Section::Machine,
     .help = "all of guest memory is there before the guest starts",
     .apply =
         [](Draft& draft, const Given&) {
           draft.mem_prealloc = true;
           return Status();
         }},
    {.name = "numa",
     .section = Section::Machine,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "node,nodeid=N,memdev=ID[,cpus=A-B:C]|dist,src=N,dst=N,val=N",
     .help = "a NUMA node of the guest, or a distance between two",
     .more = "The nodes' memory together is -m. A distance that is given one way only holds both ways.\n",
     .grammar = {.keys = kNumaKeys, .bare_first = true},
     .apply = apply_numa},
    {.name = "name",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "TEXT",
     .help = "a name for the machine",
     .value = {.name = "", .type = Text},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.name = given.value.text;
           return Status();
         }},
    {.name = "uuid",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "UUID",
     .help = "a UUID for the machine",
     .value = {.name = "", .type = Uuid},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.uuid = given.value.text;
           return Status();
         }},

    {.name = "kernel",
     .section = Section::Boot,
     .takes = Takes::Value,
     .syntax = "FILE",
     .help = "the kernel: vmlinux or bzImage",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.kernel = given.value.text;
           return Status();
         }},
    {.name = "initrd",
     .section = Section::Boot,
     .takes = Takes::Value,
     .syntax = "FILE",
     .help = "the initial RAM disk",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.initrd = given.value.text;
           return Status();
         }},
    {.name = "append",
     .section = Section::Boot,
     .takes = Takes::Words,
     .repeatable = true,
     .syntax = "WORDS",
     .help = "the kernel's command line, all words up to the next option",
     .apply =
         [](Draft& draft, const Given& given) {
           if (!draft.options.append.empty()) draft.options.append += ' ';
           draft.options.append += given.text;
           return Status();
         }},

    {.name = "drive",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "id=ID,file=FILE[,KEY=VALUE...]",
     .help = "a disk image for a device to use",
     .more = "With if=pflash it is flash of the machine, whose firmware then starts it: unit 0 ends at 4 GiB and is\n"
             "  best readonly=on, unit 1 below it takes a copy of the firmware's variables. Its content goes through\n"
             "  the page cache unless direct=on says otherwise.\n"
             "  With the driver of a plugin other keys are its own: '-drive driver=DRIVER,help' lists them.\n",
     .grammar = {.keys = kDriveKeys},
     .apply = apply_drive,
     .offers = NACRE_KIND_BLOCK},
    {.name = "netdev",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "tap|user,id=ID[,KEY=VALUE...]",
     .help = "a network for a device to use",
     .more = "With a plugin's other keys are its own: '-netdev NAME,help' lists them.\n",
     .grammar = {.keys = kNetdevKeys, .bare_first = true},
     .apply = apply_netdev,
     .offers = NACRE_KIND_NET},
    {.name = "device",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "DRIVER[,id=ID][,PROPERTY=VALUE...]",
     .help = "a device",
     .more = "Other keys are properties of the driver: '-device DRIVER,help' lists them.\n",
     .grammar = {.keys = kDeviceKeys, .bare_first = true, .open = true},
     .apply = apply_device,
     .offers = NACRE_KIND_DEVICE},
    {.name = "global",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "DRIVER.PROPERTY=VALUE",
     .help = "a property of all devices of a driver that are not told otherwise",
     .more = "Such as pcie-root-port.fast-unplug=1.\n",
     .value = {.name = "", .type = Text},
     .apply = apply_global},
    {.name = "chardev",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "KIND,id=ID[,KEY=VALUE...]",
     .help = "a stream of characters for a device or -mon to use",
     .more = "A socket serves one client at a time. Without one the guest never waits: what it writes is lost.\n"
             "  With a plugin's other keys are its own: '-chardev NAME,help' lists them.\n",
     .grammar = {.keys = kChardevKeys, .bare_first = true},
     .apply = apply_chardev,
     .offers = NACRE_KIND_CHARDEV},
    {.name = "serial",
     .section = Section::Devices,
     .takes = Takes::Value,
     .syntax = "chardev:ID|KIND[,KEY=VALUE...]",
     .help = "the machine's serial port (default none)",
     .more = "chardev:ID is a -chardev given anywhere on the line.\n",
     .grammar = {.keys = std::span(kChardevKeys).first<std::size(kChardevKeys) - 1>(), .bare_first = true},
     .apply = apply_serial},
    {.name = "object",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "KIND,id=ID[,KEY=VALUE...]",
     .help = "a thread for devices, a source of random bytes, or guest memory",
     .more = "A file of memory-backend-file that is not there is made, and its name taken away. Written only with "
             "share=on.\n",
     .grammar = {.keys = kObjectKeys, .bare_first = true},
     .apply = apply_object},

    {.name = "qmp",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "unix:PATH|tcp:IP:PORT,server,nowait",
     .help = "listen for management clients (QMP)",
     .grammar = {.keys = kQmpKeys, .bare_first = true},
     .apply = apply_qmp},
    {.name = "api-channel",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "unix:PATH|tcp:IP:PORT",
     .help = "the same as -qmp with server,nowait, beside -config",
     .value = {.name = "", .type = Text},
     .apply = apply_api_channel},
    {.name = "mon",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "chardev=ID,mode=control[,id=ID]",
     .help = "the same on a -chardev",
     .grammar = {.keys = kMonKeys},
     .apply = apply_mon},
    {.name = "qtest",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "unix:PATH[,server=on,wait=off]",
     .help = "let a test drive the machine by QEMU's qtest protocol, without vCPUs",
     .more = "Connects to the test, which listens at PATH, and ends with it; with server=on the test connects.\n"
             "  tests/qtest/README.md describes the protocol.\n",
     .value = {.name = "", .type = Text},
     .apply = apply_qtest},
    {.name = "mod-test",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "[unix:]PATH",
     .help = "the same in the dialect of StratoVirt's module tests; goes with -accel test",
     .value = {.name = "", .type = Text},
     .apply = apply_mod_test},
    {.name = "S",
     .aliases = "freeze|freeze_cpu",
     .section = Section::Management,
     .help = "do not start the vCPUs before QMP cont",
     .apply =
         [](Draft& draft, const Given&) {
           draft.options.freeze = true;
           return Status();
         }},

    {.name = "D",
     .section = Section::Process,
     .takes = Takes::MaybeValue,
     .syntax = "[FILE]",
     .help = "write the log to a file (default standard error)",
     .more = "  It is made where it is not there, and appended to. A link in its place is refused, be it symbolic or "
             "one of\n"
             "  several names of a file.\n",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.log_file = given.value.text;
           return Status();
         }},
    {.name = "daemonize",
     .section = Section::Process,
     .help = "run in the background",
     .apply =
         [](Draft& draft, const Given&) {
           draft.options.daemonize = true;
           return Status();
         }},
    {.name = "pidfile",
     .section = Section::Process,
     .takes = Takes::Value,
     .syntax = "FILE",
     .help = "write the process id to a new file; goes with -daemonize",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           Result<std::string> path = absolute_path(given.value.text);
           if (!path) return Status(path.error());
           draft.options.pidfile = *path;
           return Status();
         }},
    {.name = "runas",
     .section = Section::Process,
     .takes = Takes::Value,
     .syntax = "USER|UID:GID",
     .help = "become this user before the guest runs",
     .more =
         "For root. All is opened before, as root; what is plugged in later must be the user's to open. The process\n"
         "  gains no privileges again, nor does what it starts. Its sockets and pid file stay behind at the end.\n",
     .value = {.name = "", .type = Text},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.run_as = given.value.text;
           return Status();
         }},
    {.name = "chroot",
     .section = Section::Process,
     .takes = Takes::Value,
     .syntax = "DIR",
     .help = "make this the root directory before the guest runs",
     .more = "For root. All is opened before; what is plugged in later is looked for in there, plugins too. Where the "
             "host\n"
             "  allows it the process has a mount namespace of its own in which nothing else is mounted any more.\n",
     .value = {.name = "", .type = Path},
     .apply =
         [](Draft& draft, const Given& given) {
           Result<std::string> path = absolute_path(given.value.text);
           if (!path) return Status(path.error());
           draft.options.change_root = *path;
           return Status();
         }},
    {.name = "landlock",
     .section = Section::Process,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "[path=]PATH[,access=ro|rw]",
     .help = "open no other file or directory than these while the guest runs",
     .more =
         "What the command line names is opened before. Plugins' directories and those of libraries are open to be\n"
         "  read. Nothing can be executed; sockets and pid file elsewhere stay behind at the end. Takes a kernel\n"
         "  with Landlock (5.13, and lsm= with landlock among them).\n",
     .grammar = {.keys = kLandlockKeys, .bare_first = true},
     .apply = apply_landlock},
    {.name = "disable-seccomp",
     .section = Section::Process,
     .help = "do not restrict system calls",
     .more = "Without it, each kind of thread (main, iothread, vCPU, block worker) may make the system calls of a "
             "short list\n"
             "  and no others from before the guest's first instruction; no program can be started. Any other call "
             "ends nacre\n"
             "  with one sentence and status 159. What a plugin needs beyond is in its note ('nacre plugin inspect "
             "FILE'), and\n"
             "  counts if the command line names the plugin, its driver or, by -plugin file=FILE, its file.\n",
     .apply =
         [](Draft& draft, const Given&) {
           draft.options.seccomp = false;
           return Status();
         }},
    {.name = "config",
     .section = Section::Process,
     .takes = Takes::Value,
     .syntax = "FILE",
     .help = "take options from a JSON file; -config-schema says what it can hold",
     .more = "What the file gives cannot be given again beside it, but for options that may be repeated.\n",
     .value = {.name = "", .type = Path},
     .apply = [](Draft&, const Given&) { return Status(); }},
    {.name = "config-schema", .section = Section::Process, .help = "print the JSON schema of -config"},
    {.name = "dump-config",
     .section = Section::Process,
     .help = "print the file for -config that says the same, and end"},
    {.name = "help", .aliases = "h", .section = Section::Process, .help = "print this; '-OPTION help' says more"},
    {.name = "version", .aliases = "V", .section = Section::Process, .help = "print the version"},

    {.name = "plugin-dir",
     .section = Section::Plugins,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "DIR",
     .help = "look for plugins here, in place of the default directory",
     .value = {.name = "", .type = Path},
     .apply = [](Draft& draft, const Given& given) { return apply_plugin_directory(draft, given, false); }},
    {.name = "plugin-insecure-dir",
     .section = Section::Plugins,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "DIR",
     .help = "the same, even if others may write to it",
     .value = {.name = "", .type = Path},
     .apply = [](Draft& draft, const Given& given) { return apply_plugin_directory(draft, given, true); }},
    {.name = "plugin",
     .section = Section::Plugins,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "file=FILE|prefer=ID",
     .help = "use a plugin file, or choose between plugins that offer the same",
     .grammar = {.keys = kPluginKeys},
     .apply = apply_plugin},
    {.name = "plugin-allow",
     .section = Section::Plugins,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "sha256:HEX",
     .help = "use only plugin files with a hash that is allowed this way",
     .value = {.name = "", .type = Sha256},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.plugin.allowed.push_back(given.value.text);
           return Status();
         }},
    {.name = "plugin-hotload",
     .section = Section::Plugins,
     .takes = Takes::Value,
     .syntax = "on|off",
     .help = "plugins may be loaded while the guest runs (default on)",
     .value = {.name = "", .type = Bool},
     .apply =
         [](Draft& draft, const Given& given) {
           draft.options.plugin.hotload = given.value.number != 0;
           return Status();
         }},
    {.name = "plugin-seal",
     .section = Section::Plugins,
     .help = "use copies of plugin files that nobody can overwrite",
     .apply =
         [](Draft& draft, const Given&) {
           draft.options.plugin.seal = true;
           return Status();
         }},
    {.name = "plugin-list", .section = Section::Plugins, .help = "list the plugin files that are found"},

    ignored("boot"),
    ignored("display"),
    ignored("msg"),
    ignored("no-user-config"),
    ignored("nodefaults"),
    ignored("nographic"),
    ignored("overcommit"),
    ignored("realtime"),
    ignored("rtc"),
    ignored("sandbox"),
    ignored("usb"),

    later("incoming", "there is no snapshot to start from and no migration yet"),
    later("hardware-signature", "no guest can hibernate here and come back to compare it"),
    later("smbios", "there are no SMBIOS tables yet"),
    later("battery", "there is no battery device"),
    later("no-shutdown", "the process ends with the guest"),
    later("trace", "there are no trace points; STRATOVIRT_LOG_LEVEL=debug makes the log say more"),
    later("vnc", "there is no display; use -serial for a console"),
    later("cameradev", "there are no cameras"),
};

}  // namespace

std::span<const Option> option_table() {
  return kTable;
}

const Option* find_option(std::string_view name) {
  for (const Option& option : kTable) {
    if (same_word(option.name, name)) return &option;
    std::string_view rest = option.aliases;
    while (!rest.empty()) {
      const size_t end = rest.find('|');
      if (same_word(rest.substr(0, end), name)) return &option;
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
  return nullptr;
}

}  // namespace nacre::cli
