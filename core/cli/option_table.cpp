#include "core/cli/option_table.hpp"

#include <nacre/abi/entry.h>

#include "core/cli/option_keys.hpp"

namespace nacre::cli {
namespace {

using enum ValueType;

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
     .grammar = {.keys = keys::kMachine, .bare_first = true, .open = true},
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
     .grammar = {.keys = keys::kCpu, .bare_first = true, .open = true, .signs = true},
     .apply = apply_cpu,
     .lists = list_cpu_features},
    {.name = "smp",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "[cpus=]N[,KEY=N...]",
     .help = "number of vCPUs and how they are laid out (default 1)",
     .more = "sockets * dies * clusters * cores * threads is maxcpus.\n",
     .grammar = {.keys = keys::kSmp, .bare_first = true},
     .apply = apply_smp},
    {.name = "m",
     .section = Section::Machine,
     .takes = Takes::Value,
     .syntax = "[size=]SIZE[,maxmem=SIZE]",
     .help = "guest memory, in MiB or with K, M, G (default 256M)",
     .grammar = {.keys = keys::kMemory, .bare_first = true},
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
     .grammar = {.keys = keys::kNuma, .bare_first = true},
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

    {.name = "smbios",
     .section = Section::Boot,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "type=TYPE[,KEY=VALUE...]",
     .help = "what the guest reads in SMBIOS tables of its machine (q35)",
     .more = "Each type once; there are no tables without this option.\n",
     .grammar = {.keys = keys::kSmbios, .bare_first = true},
     .apply = apply_smbios},

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
     .grammar = {.keys = keys::kDrive},
     .apply = apply_drive,
     .offers = NACRE_KIND_BLOCK},
    {.name = "netdev",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "tap|user,id=ID[,KEY=VALUE...]",
     .help = "a network for a device to use",
     .more = "With a plugin's other keys are its own: '-netdev NAME,help' lists them.\n",
     .grammar = {.keys = keys::kNetdev, .bare_first = true},
     .apply = apply_netdev,
     .offers = NACRE_KIND_NET},
    {.name = "device",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "DRIVER[,id=ID][,PROPERTY=VALUE...]",
     .help = "a device",
     .more = "Other keys are properties of the driver: '-device DRIVER,help' lists them.\n",
     .grammar = {.keys = keys::kDevice, .bare_first = true, .open = true},
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
     .grammar = {.keys = keys::kChardev, .bare_first = true},
     .apply = apply_chardev,
     .offers = NACRE_KIND_CHARDEV},
    {.name = "serial",
     .section = Section::Devices,
     .takes = Takes::Value,
     .syntax = "chardev:ID|KIND[,KEY=VALUE...]",
     .help = "the machine's serial port (default none)",
     .more = "chardev:ID is a -chardev given anywhere on the line.\n",
     .grammar = {.keys = std::span(keys::kChardev).first<std::size(keys::kChardev) - 1>(), .bare_first = true},
     .apply = apply_serial},
    {.name = "object",
     .section = Section::Devices,
     .takes = Takes::Value,
     .repeatable = true,
     .syntax = "KIND,id=ID[,KEY=VALUE...]",
     .help = "a thread for devices, a source of random bytes, or guest memory",
     .more = "A file of memory-backend-file that is not there is made, and its name taken away. Written only with "
             "share=on.\n",
     .grammar = {.keys = keys::kObject, .bare_first = true},
     .apply = apply_object},

    {.name = "qmp",
     .section = Section::Management,
     .takes = Takes::Value,
     .syntax = "unix:PATH|tcp:IP:PORT,server,nowait",
     .help = "listen for management clients (QMP)",
     .grammar = {.keys = keys::kQmp, .bare_first = true},
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
     .grammar = {.keys = keys::kMon},
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
         "  read. Nothing can be executed; sockets and pid file elsewhere stay behind at the end. Threads that plugins\n"
         "  have made before, and with -disable-seccomp those of vCPUs, are not held to it. Takes a kernel with\n"
         "  Landlock (5.13, and lsm= with landlock among them).\n",
     .grammar = {.keys = keys::kLandlock, .bare_first = true},
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
     .grammar = {.keys = keys::kPlugin},
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
