// A virtual machine made of what the command line says, with its monitor, ready to run.
#pragma once

#include <memory>
#include <optional>

#include "core/cli/daemon.hpp"
#include "core/cli/options.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/monitor.hpp"
#include "core/vm/qtest/server.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::cli {

// Main thread only.
class Assembly {
 public:
  // Opens, makes and loads everything; nothing of the guest has run when it returns. A failure leaves nothing behind.
  static Result<std::unique_ptr<Assembly>> make(const Options& options);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // Starts the guest and serves it until its end.
  void run();

  VirtualMachine& vm() { return *vm_; }
  Monitor& monitor() { return *monitor_; }

 private:
  explicit Assembly(const Options& options) : options_(options) {}
  Status build();
  Status add_back_ends();
  Status add_devices();
  Status watch_signals();
  Status meet_test();
  bool has_user_network() const;
  void on_signal();

  const Options& options_;
  std::unique_ptr<EventLoop> loop_;
  std::optional<MadeFile> pid_file_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<VirtualMachine> vm_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<qtest::Server> test_server_;
  Fd signals_;
};

}  // namespace nacre::cli
