// A whole machine in this process, without KVM: built by the command line's own way, driven as `-accel qtest` drives
// it.
//
// To build one takes ten times as long as a run, and to reset one less than a run: a machine serves many, each after a
// reset of all its devices and with empty memory, until one of them has ended it or changed what it is made of. What a
// reset leaves behind is found so, too.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/cli/assemble.hpp"
#include "core/vm/qtest/access.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/quiet.hpp"

namespace nacre::fuzz {

// Reads the environment (CMakeLists.txt) and makes the folder for the run's files, in which the process stays. Once,
// before the first machine. NACRE_FUZZ_MACHINE is the type, NACRE_FUZZ_PLUGINS the folder of plugins,
// NACRE_FUZZ_BACK_ENDS that of the two back ends which are the fuzz targets' own.
void prepare_machines();

// What a target does with an input; machine.cpp and management.cpp each have one.
void run(Input& input);

// Main thread only; one at a time.
class MachineUnderTest {
 public:
  // For a run: the one that is there, as at power-on, or a new one. `fresh`: a new one always, whose time begins at 0.
  static MachineUnderTest& take(bool fresh = false);

  MachineUnderTest();
  // Looks at what the machine leaves.
  ~MachineUnderTest();
  MachineUnderTest(const MachineUnderTest&) = delete;
  MachineUnderTest& operator=(const MachineUnderTest&) = delete;

  VirtualMachine& vm() { return assembly_->vm(); }
  Monitor& monitor() { return assembly_->monitor(); }
  qtest::Access& guest() { return *guest_; }
  AddressSpace& space(uint32_t kind) { return vm().platform().space(kind); }
  // Has the main loop do what is there to do, without waiting.
  void serve();
  // Moves time, with all that falls due on the way.
  void pass(uint64_t ns);
  // The machine has ended, by the guest's wish or by a command.
  bool ended() { return vm().life_cycle().state() == RunState::Shutdown; }

 private:
  std::unique_ptr<cli::Assembly> assembly_;
  std::unique_ptr<qtest::Access> guest_;
  // As at power-on, but for tables that nobody wrote; false when a new one is needed.
  bool reset();

  std::string inventory();

  std::string inventory_;  // at the beginning
  int runs_ = 0;
  int lowest_free_fd_;
};

}  // namespace nacre::fuzz
