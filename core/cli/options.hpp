// What the command line asks for, as plain values: nothing is opened, no plugin is touched, no KVM is needed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/block_options.hpp"
#include "core/backend/net_options.hpp"
#include "core/base/result.hpp"
#include "core/kvm/x86_64/cpu_features.hpp"
#include "core/memory/backend.hpp"
#include "core/vm/numa.hpp"
#include "core/vm/smbios_field.hpp"

namespace nacre::cli {

// Properties that somebody else's table explains (a machine's, a device's): in the user's words and order.
using Properties = std::vector<std::pair<std::string, std::string>>;

// The user asked to be told something instead of starting a machine. All of it goes to standard output, with exit
// status 0. What a table of the command line knows is in `text`; the rest only the plugins know.
struct HelpRequest {
  enum class Kind {
    Text,     // print `text`, that is all
    Types,    // print `text`, then the types of kind `of` that the plugins offer, each with its file
    OneType,  // print the properties of the type `name` of that kind
    Plugins,  // print every plugin file with its state (`-plugin-list`)
  };
  Kind kind = Kind::Text;
  std::string text = {};  // whole lines
  std::string name = {};
  uint32_t of = 0;  // NACRE_KIND_*
};

struct MachineChoice {
  std::string type = "microvm";  // lower case; "none" builds no machine
  Properties properties;         // keys this program does not know itself, for the machine's own table
};

// The product of the five levels is max_cpus.
struct CpuLayout {
  uint32_t cpus = 1;      // 1 .. 254
  uint32_t max_cpus = 1;  // cpus .. 254
  uint32_t sockets = 1, dies = 1, clusters = 1, cores = 1, threads = 1;
};

struct Device {
  std::string driver;
  std::string id;         // empty when not given
  Properties properties;  // all but the driver and the id
};

// What devices of a driver are given where they are not told otherwise.
struct GlobalProperty {
  std::string driver, property, value;
};

struct Chardev {
  enum class Kind { Stdio, Pty, Socket, File, Null, Plugin };
  std::string id;  // "serial_chardev" for one written into -serial
  Kind kind = Kind::Null;
  std::string path;   // File: to write to. Socket: a Unix socket's, at most 107 bytes, empty for TCP
  std::string host;   // Socket by TCP: an IPv4 address
  uint16_t port = 0;  // Socket by TCP: 1 .. 65535
  bool server = false;
  bool nowait = false;
  std::string driver;     // Plugin: the type by name
  Properties properties;  // and its own
};

// -object rng-random.
struct RandomSource {
  std::string id;
  std::string filename;  // not looked at yet
};

// Where QMP listens: a Unix socket's path, or a TCP address.
struct QmpListener {
  std::string id;        // of -mon, empty when not given
  std::string path;      // empty for TCP
  std::string host;      // an IPv4 address
  uint16_t port = 0;     // 1 .. 65535
  std::string iothread;  // id of an -object iothread, empty for the main loop
};

struct PluginDirectory {
  std::string path;       // absolute
  bool insecure = false;  // given by -plugin-insecure-dir: others may write to it, and the user knows
};

// -landlock: a file, or all below a directory, that can be opened while the guest runs.
struct OpenPath {
  std::string path;  // absolute
  bool writable = false;
};

struct PluginChoice {
  std::vector<PluginDirectory> directories;  // in order; empty: the built-in default
  std::vector<std::string> files;            // -plugin file=, absolute
  std::vector<std::string> preferred;        // -plugin prefer=, a plugin id or a path
  std::vector<std::string> allowed;          // SHA-256 in 64 lower-case hex digits; empty: no allow-list
  bool hotload = true;
  bool seal = false;  // code is mapped from copies that nobody can overwrite
};

// -qtest and -mod-test: the socket of a test that drives the machine.
struct TestSocket {
  std::string path;         // absolute or not, at most 107 bytes; empty: there is none
  bool listen = false;      // else the machine connects to it
  bool stratovirt = false;  // the dialect of -mod-test
};

struct Options {
  static constexpr uint64_t kDefaultMemory = 256ull << 20;

  std::optional<HelpRequest> help;  // when set, only `plugin` counts besides, and nothing was cross-checked

  MachineChoice machine;
  bool no_vcpus = false;  // the accelerator is qtest or test: a test drives the machine
  TestSocket test;
  CpuLayout cpu;
  kvm::FeatureChanges cpu_features;
  uint64_t memory = kDefaultMemory;      // bytes, 128 MiB .. 512 GiB, a multiple of 4 KiB
  uint64_t max_memory = kDefaultMemory;  // bytes, at least `memory`
  bool dump_guest_core = true;
  bool share_memory = false;
  std::vector<MemoryPart> ram;  // what `memory` is made of, in order
  NumaTopology numa;

  std::string kernel, initrd, append;  // empty when not given
  std::vector<SmbiosField> smbios;

  std::vector<BlockOptions> drives;          // ids unique
  std::string flash[2];                      // ids of the drives with if=pflash, by unit; empty where there is none
  std::vector<NetOptions> netdevs;           // ids unique
  std::vector<Chardev> chardevs;             // ids unique, the one of -serial included
  std::string serial;                        // id of the chardev of the serial port, empty for no port
  std::vector<GlobalProperty> globals;       // in order
  std::vector<Device> devices;               // in order; ids unique where given
  std::vector<std::string> iothreads;        // ids, at most 8
  std::vector<RandomSource> random_sources;  // ids unique, iothreads' included
  std::vector<QmpListener> qmp;              // of -qmp and then -mon; at least one unless `help` is set

  std::string name, uuid;  // uuid: 8-4-4-4-12 lower-case hex digits, or empty
  std::string log_file;    // empty: standard error
  std::string pidfile;     // absolute; only with daemonize
  bool daemonize = false;
  std::string run_as;              // a user's name or UID:GID; empty: the user that it was started by
  std::string change_root;         // absolute; empty: the root directory that it was started in
  std::vector<OpenPath> landlock;  // empty: what can be opened is as it was
  bool seccomp = true;
  bool freeze = false;  // vCPUs stay paused until `cont`
  PluginChoice plugin;

  std::vector<int> descriptors;  // those inherited that the words speak of, and maybe others

  // The process is to give up what it does not need.
  bool confined() const { return !run_as.empty() || !change_root.empty() || !landlock.empty(); }
};

// Reads the words that follow the program's name. Everything that can be judged from the words alone is judged: what
// is returned without `help` agrees with itself. Fails with one sentence, for standard error and exit status 1. Reads
// the working directory (to make paths absolute), the file of -config and nothing else. Any thread, no state.
Result<Options> parse(std::span<const char* const> arguments);

// The text of `-help`, and of `-version`.
std::string usage();
std::string version();

}  // namespace nacre::cli
