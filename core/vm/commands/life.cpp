// Commands that change the run state: stop, cont, quit, system_reset, system_powerdown, and query-status.
#include "core/vm/commands/commands.hpp"

namespace nacre::commands {
namespace json = boost::json;

Answer stop(VirtualMachine& vm, const json::object&, qmp::Context&) {
  if (Status done = vm.life_cycle().stop(); !done) return done.error();
  return json::object();
}

Answer cont(VirtualMachine& vm, const json::object&, qmp::Context&) {
  if (Status done = vm.life_cycle().cont(); !done) return done.error();
  return json::object();
}

// These three answer first and act then: the order in which StratoVirt's documents show return and event.
Answer quit(VirtualMachine& vm, const json::object&, qmp::Context&) {
  vm.loop().post([&vm] { vm.life_cycle().shut_down(false, "host-qmp-quit"); });
  return json::object();
}

Answer system_reset(VirtualMachine& vm, const json::object&, qmp::Context&) {
  // A reset that fails is logged and shows in query-status.
  vm.loop().post_alone([&vm] { (void)vm.life_cycle().reset(false); });
  return json::object();
}

Answer system_powerdown(VirtualMachine& vm, const json::object&, qmp::Context&) {
  vm.loop().post([&vm] { vm.life_cycle().power_down(); });
  return json::object();
}

Answer query_status(VirtualMachine& vm, const json::object&, qmp::Context&) {
  const LifeCycle& life = vm.life_cycle();
  return json::object{{"running", life.running()}, {"singlestep", false}, {"status", to_string(life.state())}};
}

}  // namespace nacre::commands
