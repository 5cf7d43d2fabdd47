#include "core/kvm/vcpu_group.hpp"

#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

#include "core/kvm/flexible.hpp"
#include "core/kvm/test_guests.hpp"
#include "core/kvm/test_machine.hpp"

namespace nacre::kvm {
namespace {

GUEST(writes_for_ever, 16, R"(
1: outb %al, $0x90
  jmp 1b
)")

// Waits until each of the vCPUs has made an exit more.
bool each_runs(Recorder& recorder, const std::array<std::atomic<uint64_t>, 3>& exits, std::vector<uint32_t> vcpus) {
  std::vector<uint64_t> before;
  for (uint32_t vcpu : vcpus) before.push_back(exits[vcpu]);
  return recorder.wait([&] {
    for (size_t i = 0; i < vcpus.size(); ++i)
      if (exits[vcpus[i]] <= before[i] + 1) return false;
    return true;
  });
}

TEST(VcpuGroup, OneGoesAndComesBackWhileTheOthersRun) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  machine.load(writes_for_ever());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(machine.add());
  std::array<std::atomic<uint64_t>, 3> exits{};
  Recorder& recorder = machine.recorder;
  recorder.keep_all = false;
  recorder.answer = [&](const Access& access) -> uint64_t { return ++exits[access.vcpu]; };
  VcpuGroup& group = *machine.group;
  group.resume();
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(each_runs(recorder, exits, {0, 1, 2}));
    group.take_out(1);
    group.take_out(1);
    EXPECT_TRUE(group.has(1));
    EXPECT_FALSE(group.is_in(1));
    EXPECT_EQ(group.end(), 3u);
    const uint64_t left_at = exits[1];
    ASSERT_TRUE(each_runs(recorder, exits, {0, 2}));
    EXPECT_EQ(exits[1], left_at);
    if (round % 2) {  // a pause has nothing to do with one that is out
      group.request_pause();
      ASSERT_TRUE(recorder.wait([&] { return group.all_paused(); }));
      group.resume();
    }
    machine.check(group.put_back(1));
    EXPECT_TRUE(group.is_in(1));
    EXPECT_EQ(exits[1], left_at) << "it is parked at first";
    group.resume(1);
  }
  group.stop_and_join();
}

uint64_t counter_of(const Vcpu& vcpu) {
  Counted<kvm_msr_entry> msrs(1);
  msrs.entries()->index = 0x10;
  return ::ioctl(vcpu.fd(), kGetMsrs, msrs.get()) == 1 ? msrs.entries()->data : 0;
}

// Whether the host's own counters go together: KVM promises nothing for guests where they do not.
bool counters_agree() {
  std::ifstream file("/sys/devices/system/clocksource/clocksource0/available_clocksource");
  std::string sources;
  return !std::getline(file, sources) || sources.find("tsc") != std::string::npos;
}

// Apart by less than a tenth of a second of a processor of 2 GHz.
void expect_together(const Vcpu& one, const Vcpu& other) {
  const auto first = static_cast<int64_t>(counter_of(one)), second = static_cast<int64_t>(counter_of(other));
  EXPECT_GT(first, 0);
  if (counters_agree()) {
    EXPECT_LT(std::llabs(second - first), 200'000'000) << first << " and " << second;
  }
}

// Linux calls a counter that differs from the others' unstable, and uses it no more.
TEST(VcpuGroup, TimeStampCountersGoTogether) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  Vcpu* first = machine.add();
  ASSERT_TRUE(first);
  auto first_state = PowerOnState::capture(*machine.kvm, *first);
  ASSERT_TRUE(first_state) << first_state.error().message;
  machine.check(boot_vcpu(*first));
  ::usleep(1'200'000);  // so that KVM takes no chance second for one set
  Vcpu* late = machine.add();
  ASSERT_TRUE(late);
  auto late_state = PowerOnState::capture(*machine.kvm, *late);
  ASSERT_TRUE(late_state) << late_state.error().message;
  machine.check(boot_vcpu(*late));
  expect_together(*first, *late);
  ::usleep(1'200'000);
  machine.check(late_state->restore(*late, /*joining=*/true));
  expect_together(*first, *late);
  machine.check(first_state->restore(*first));
  machine.check(late_state->restore(*late));
  expect_together(*first, *late);
}

}  // namespace
}  // namespace nacre::kvm
