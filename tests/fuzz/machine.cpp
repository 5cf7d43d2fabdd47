// A machine with its devices, as any guest may use it: ports, registers, configuration, memory with rings in it, time,
// resets.
#include "tests/fuzz/guest.hpp"

namespace nacre::fuzz {
namespace {

constexpr int kMostSteps = 200;
constexpr uint64_t kMostTime = 2'000'000'000;  // ns in a run

}  // namespace

void run(Input& input) {
  MachineUnderTest& machine = MachineUnderTest::take();
  const bool whole_reset = input.left() % 8 == 0;
  Guest guest(machine);
  uint64_t time_left = kMostTime;
  for (int step = 0; step < kMostSteps && !input.empty() && !machine.ended(); ++step) {
    const uint8_t what = input.number<uint8_t>();
    switch (what % 24) {
      case 0:
      case 1:
        guest.access_ports(input);
        break;
      case 2:
        guest.read_registers(input);
        break;
      case 3:
      case 4:
      case 5:
        guest.write_registers(input);
        break;
      case 6:
        guest.access_anywhere(input);
        break;
      case 7:
        guest.write_memory(input);
        break;
      case 8:
      case 9:
        guest.configure(input);
        break;
      case 10:
        guest.configure_by_ports(input);
        break;
      case 11:
        guest.answer_hotplug(input);
        break;
      case 12:
      case 13:
        guest.bring_up(input);
        break;
      case 14:
        guest.describe(input);
        break;
      case 15:
      case 16:
      case 17:
        guest.request(input);
        break;
      case 18:
        guest.offer(input);
        break;
      case 19:
        guest.configure_device(input);
        break;
      case 20: {
        const uint64_t ns = std::min(time_left, uint64_t{input.number<uint16_t>()} << input.below(16));
        time_left -= ns;
        machine.pass(ns);
        break;
      }
      case 21:
        guest.place();
        break;
      case 22:
        machine.vm().life_cycle().request_reset();
        break;
      case 23:
        if (input.below(4) == 0) machine.vm().life_cycle().power_down();
        break;
    }
    if (what & 0x80) machine.serve();
  }
  machine.serve();
  if (whole_reset && !machine.ended()) guest.require_all_work_after_a_reset();
}

}  // namespace nacre::fuzz
