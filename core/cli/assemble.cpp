#include "core/cli/assemble.hpp"

#include <sys/signalfd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "core/backend/passt_process.hpp"
#include "core/base/log.hpp"
#include "core/cli/landlock.hpp"
#include "core/cli/make_chardev.hpp"
#include "core/cli/option_table.hpp"
#include "core/cli/plugin_options.hpp"
#include "core/cli/privileges.hpp"
#include "core/vm/end_limit.hpp"

namespace nacre::cli {

Result<std::unique_ptr<Assembly>> Assembly::make(const Options& options) {
  auto assembly = std::unique_ptr<Assembly>(new Assembly(options));
  if (Status built = assembly->build(); !built) return built.error();
  return assembly;
}

Assembly::~Assembly() {
  // The guest first, then what its devices stand on.
  test_server_.reset();
  if (vm_) {
    EndLimit limit(vm_->disks());
    vm_->tear_down();
  }
  monitor_.reset();
}

Status Assembly::build() {
  // First, so that the helper's mount namespace is its own.
  if (options_.seccomp && has_user_network()) {
    Status made = make_passt_helper([this] {
      Result<Privileges> own = Privileges::prepare(options_.run_as, options_.change_root);
      return own ? own->give_up() : Status(own.error());
    });
    if (!made) return made;
  }
  Result<Privileges> privileges = Privileges::prepare(options_.run_as, options_.change_root);
  if (!privileges) return privileges.error();
  Result<Landlock> landlock = Landlock::prepare(options_.landlock, plugin_directories(options_.plugin));
  if (!landlock) return landlock.error();
  // Signals are read from a descriptor; threads made from here on inherit the mask.
  if (Status watched = watch_signals(); !watched) return watched;
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop) return loop.error();
  loop_ = std::move(*loop);
  if (!options_.pidfile.empty()) {
    Result<MadeFile> file = make_pid_file(options_.pidfile);
    if (!file) return file.error();
    pid_file_.emplace(std::move(*file));
  }
  Result<std::unique_ptr<Registry>> registry = open_registry(options_.plugin);
  if (!registry) return registry.error();
  registry_ = std::move(*registry);

  vm_ = std::make_unique<VirtualMachine>(*loop_, *registry_);
  monitor_ = std::make_unique<Monitor>(*vm_);
  if (options_.test.stratovirt) monitor_->leave_plugins_out();
  monitor_->add(
      {"query-command-line-options",
       "the options of the command line with their keys",
       "list",
       {},
       [](const boost::json::object&, qmp::Context&) -> Result<boost::json::value> { return describe_options(); }});
  if (Status added = add_back_ends(); !added) return added;
  if (options_.machine.type != "none") {
    if (Status added = add_devices(); !added) return added;
  }
  for (const QmpListener& listener : options_.qmp) {
    Status listening = listener.path.empty() ? monitor_->listen_tcp(listener.host, listener.port)
                                             : monitor_->listen_unix(listener.path);
    if (!listening) return listening;
  }
  Result<Watch*> watch = loop_->watch(signals_.get(), EventLoop::kRead, [this](uint32_t) { on_signal(); });
  if (!watch) return watch.error();
  // Now that all is there that a test may look for.
  if (!options_.test.path.empty())
    if (Status met = meet_test(); !met) return met;
  if (Status given_up = privileges->give_up(); !given_up) return given_up;
  std::vector<EventLoop*> iothreads;
  for (const auto& [id, thread] : vm_->iothreads()) iothreads.push_back(&thread->loop());
  if (Status restricted = landlock->restrict(iothreads); !restricted) return restricted;
  // Last, since nobody may do as much from here on.
  return options_.seccomp ? vm_->confine() : Status();
}

bool Assembly::has_user_network() const {
  return std::any_of(options_.netdevs.begin(), options_.netdevs.end(),
                     [](const NetOptions& netdev) { return netdev.driver.empty() && netdev.kind == NetKind::User; });
}

Status Assembly::meet_test() {
  qtest::ServerOptions test;
  if (options_.test.stratovirt) test.dialect = qtest::Dialect::StratoVirt;
  test.path = options_.test.path;
  test.listen = options_.test.listen;
  Result<std::unique_ptr<qtest::Server>> server = qtest::Server::start(*vm_, test);
  if (!server) return server.error();
  test_server_ = std::move(*server);
  return {};
}

Status Assembly::add_back_ends() {
  for (const std::string& id : options_.iothreads)
    if (Status added = vm_->add_iothread(id); !added) return added;
  for (const RandomSource& source : options_.random_sources)
    if (Status added = vm_->random_sources().add(source.id, source.filename); !added) return added;
  for (BlockOptions drive : options_.drives) {
    drive.wait_for_lock = true;
    if (Status added = vm_->disks().add(drive); !added) return added;
  }
  for (const NetOptions& netdev : options_.netdevs)
    if (Status added = vm_->netdevs().add(netdev); !added) return added;
  for (const Chardev& chardev : options_.chardevs) {
    Result<std::unique_ptr<nacre::Chardev>> made = make_chardev(*vm_, chardev);
    if (!made) return made.error();
    if (Status added = vm_->chardevs().add(chardev.id, std::move(*made)); !added) return added;
  }
  return {};
}

Status Assembly::add_devices() {
  for (const GlobalProperty& global : options_.globals)
    if (Status set = vm_->devices().set_default(global.driver, global.property, global.value); !set)
      return fail("-global: {}", set.error().message);
  PlatformOptions platform;
  if (options_.no_vcpus) platform.accelerator = AcceleratorKind::Test;
  // StratoVirt's tests plug devices below ports whose windows they leave closed.
  platform.bridges_pass_all = options_.test.stratovirt;
  platform.ram = options_.ram;
  platform.vcpus = options_.cpu.cpus;
  platform.max_vcpus = options_.cpu.max_cpus;
  platform.cpu_features = options_.cpu_features;
  platform.topology = {options_.cpu.sockets, options_.cpu.dies * options_.cpu.clusters, options_.cpu.cores,
                       options_.cpu.threads};
  MachineOptions machine;
  machine.type = options_.machine.type;
  machine.properties = options_.machine.properties;
  machine.no_vcpus = options_.no_vcpus;
  machine.vcpus = options_.cpu.cpus;
  machine.max_vcpus = options_.cpu.max_cpus;
  machine.sockets = options_.cpu.sockets;
  machine.ram_size = options_.memory;
  machine.numa = options_.numa;
  machine.kernel = options_.kernel;
  machine.initrd = options_.initrd;
  machine.append = options_.append;
  machine.serial_chardev = options_.serial;
  machine.flash = {options_.flash[0], options_.flash[1]};
  machine.smbios = options_.smbios;
  if (Status built = vm_->build(platform, machine); !built) return built;
  for (const Device& device : options_.devices) {
    Result<nacre_instance*> added = vm_->devices().add(device.driver, device.id, device.properties);
    if (!added) return added.error();
  }
  // Its kernel is checked by now, and read when it is to run.
  return options_.freeze ? Status() : vm_->boot();
}

Status Assembly::watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  return signals_ ? Status() : Status(fail("no signalfd: {}.", strerror(errno)));
}

void Assembly::on_signal() {
  signalfd_siginfo info;
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) return;
  log::info("vm", "Received kill signal, signal number: {}", info.ssi_signo);
  vm_->life_cycle().shut_down(false, fmt::format("Guest shutdown by signal {}", info.ssi_signo));
}

void Assembly::run() {
  if (vm_->has_platform()) vm_->life_cycle().start(options_.freeze);
  loop_->run();
}

}  // namespace nacre::cli
