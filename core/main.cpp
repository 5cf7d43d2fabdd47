// The one place where all is put together: command line, plugins, machine, devices, monitor.
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>

#include "core/backend/char_stdio.hpp"
#include "core/base/log.hpp"
#include "core/base/memory_reserve.hpp"
#include "core/cli/assemble.hpp"
#include "core/cli/daemon.hpp"
#include "core/cli/inherited.hpp"
#include "core/cli/options.hpp"
#include "core/cli/plugin_command.hpp"
#include "core/cli/tell.hpp"
#include "core/plugin/breadcrumb.hpp"

namespace {

int refuse(const nacre::Error& error) {
  std::fprintf(stderr, "nacre: %s\n", error.message.c_str());
  return 1;
}

// Descriptors 0 to 2 must be somebody's, or the first file that is opened becomes standard input.
void fill_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);
}

// Threads' stacks of 8 MiB, the default, are each given a huge page at once: 2 MiB of memory for a few KiB of use.
void bound_thread_stacks() {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, 1 << 20);
  ::pthread_setattr_default_np(&attributes);
  ::pthread_attr_destroy(&attributes);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace nacre;
  fill_standard_streams();
  bound_thread_stacks();
  // A VMM's own heap is small and its threads many: one arena keeps it in few pages.
  ::mallopt(M_ARENA_MAX, 1);
  memory_reserve::take();
  ::signal(SIGPIPE, SIG_IGN);
  log::set_level_from_environment();
  crash::install_handlers(restore_terminal);

  if (argc > 1 && std::strcmp(argv[1], "plugin") == 0)
    return cli::plugin_command({argv + 2, static_cast<size_t>(argc - 2)});
  Result<cli::Options> options = cli::parse({argv + 1, static_cast<size_t>(argc - 1)});
  if (!options) return refuse(options.error());
  if (options->help) return cli::tell(*options);

  if (options->confined()) cli::close_inherited(options->descriptors);
  std::optional<cli::Daemon> daemon;
  if (options->daemonize) {
    Result<cli::Daemon> started = cli::Daemon::start();
    if (!started) return refuse(started.error());
    daemon = *started;
  }
  if (!options->log_file.empty())
    if (Status opened = log::open(options->log_file); !opened) {
      if (daemon) daemon->report(opened);
      return refuse(opened.error());
    }

  Result<std::unique_ptr<cli::Assembly>> assembly = cli::Assembly::make(*options);
  if (!assembly) {
    if (daemon) daemon->report(assembly.error());
    return refuse(assembly.error());
  }
  if (daemon) daemon->report({});
  (*assembly)->run();
  return 0;
}
