#include "core/kvm/vcpu_thread.hpp"

#include <cpuid.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/kvm/test_guests.hpp"
#include "core/kvm/test_machine.hpp"

namespace nacre::kvm {
namespace {

bool software_kvm() {
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 5))) return false;
  return !(__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & (1u << 2)));
}

size_t entries(const char* directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

GUEST(ports_and_memory, 16, R"(
  movb $0x41, %al
  outb %al, $0x10
  movw $0x20, %dx
  movw $0x1100, %si
  movw $5, %cx
  rep outsb
  movw $0xd000, %ax
  movw %ax, %ds
  movw $0x1234, 0x10
  movw 0x10, %ax
  outw %ax, $0x10
  inb $0x10, %al
  outb %al, $0x11
  movw $0x30, %dx
  movw $0x1200, %di
  movw $3, %cx
  rep insb
  outb %al, $0x12
  hlt
)")

TEST(VcpuThread, HandsOverPortsStringsAndMemory) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  machine.load(ports_and_memory());
  machine.load("hello", 0x1100);
  ASSERT_TRUE(machine.add());
  Recorder& recorder = machine.recorder;
  recorder.answer = [n = 0](const Access& access) mutable -> uint64_t {
    return access.kind == 'r' ? 0xbeef : access.kind == 'i' && access.address == 0x30 ? 'a' + n++ : 0x77;
  };
  machine.group->resume();
  ASSERT_TRUE(recorder.wait([&] { return !recorder.accesses.empty() && recorder.accesses.back().address == 0x12; }));
  machine.group->stop_and_join();
  std::vector<Access> expected{{'o', 0, 0x10, 1, 0x41}};
  for (char c : std::string("hello")) expected.push_back({'o', 0, 0x20, 1, static_cast<uint64_t>(c)});
  expected.insert(expected.end(), {{'w', 0, 0xd0010, 2, 0x1234},
                                   {'r', 0, 0xd0010, 2, 0xbeef},
                                   {'o', 0, 0x10, 2, 0xbeef},
                                   {'i', 0, 0x10, 1, 0x77},
                                   {'o', 0, 0x11, 1, 0x77},
                                   {'i', 0, 0x30, 1, 'a'},
                                   {'i', 0, 0x30, 1, 'b'},
                                   {'i', 0, 0x30, 1, 'c'},
                                   {'o', 0, 0x12, 1, 0x77}});
  EXPECT_EQ(recorder.accesses, expected);
  EXPECT_EQ(std::memcmp(machine.memory + 0x1200, "abc", 3), 0);
}

GUEST(long_mode, 64, R"(
  movabsq $0x1122334455667788, %rbx
  movq %rbx, 0xd0000
  movl 0xd0008, %eax
  outl %eax, $0x10
  hlt
)")

TEST(VcpuThread, BeginsInTheLongModeOfAMachine) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  machine.load(long_mode());
  // One 2 MiB page, identity mapped: PML4 at 0x9000, PDPT at 0xa000, PD at 0xb000.
  const uint64_t tables[] = {0xa003, 0xb003, 0x83};
  for (uint64_t i = 0; i < 3; ++i) std::memcpy(machine.memory + 0x9000 + i * 0x1000, &tables[i], 8);
  Vcpu* vcpu = machine.add();
  ASSERT_TRUE(vcpu);
  nacre_x86_state state{};
  state.size = sizeof state;
  state.rip = Machine::kCode;
  state.rsp = 0x8000;
  state.rflags = 2;
  state.cs = {0, 0xffffffff, 0x10, 0xa9b};
  state.ds = state.es = state.fs = state.gs = state.ss = {0, 0xffffffff, 0x18, 0xc93};
  state.tr = {0, 0xffff, 0, 0x8b};
  state.cr0 = 0x80000011;
  state.cr3 = 0x9000;
  state.cr4 = 0x20;
  state.efer = 0x500;
  machine.check(set_state(*vcpu, state));
  Recorder& recorder = machine.recorder;
  recorder.answer = [](const Access&) { return uint64_t{0xcafe0001}; };
  machine.group->resume();
  ASSERT_TRUE(recorder.wait([&] { return recorder.total >= 3 || !recorder.reports_.empty(); }));
  machine.group->stop_and_join();
  for (const Report& report : recorder.reports_) ADD_FAILURE() << report.text;
  EXPECT_EQ(recorder.accesses, (std::vector<Access>{{'w', 0, 0xd0000, 8, 0x1122334455667788},
                                                    {'r', 0, 0xd0008, 4, 0xcafe0001},
                                                    {'o', 0, 0x10, 4, 0xcafe0001}}));
  state.size = 8;
  EXPECT_FALSE(set_state(*vcpu, state));
}

// Echoes what it reads; the second vCPU sleeps for good.
GUEST(echoes_or_halts, 16, R"(
  testw %ax, %ax
  jnz 2f
  movw $0xd000, %ax
  movw %ax, %ds
1: inb $0x40, %al
  outb %al, $0x41
  movw 0x20, %ax
  movw %ax, 0x22
  jmp 1b
2: cli
  hlt
  jmp 2b
)")

TEST(VcpuThread, PausesAndResumesAtAnyMomentWithNothingHalfDone) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  machine.load(echoes_or_halts());
  ASSERT_TRUE(machine.add());
  ASSERT_TRUE(machine.add());
  Recorder& recorder = machine.recorder;
  recorder.keep_all = false;
  uint64_t last = 0, wrong = 0, next = 0;
  recorder.answer = [&](const Access& access) -> uint64_t {
    if (access.kind == 'i' || access.kind == 'r') return last = ++next & 0xff;
    // A read whose pause lost its answer would come back as another value.
    if (access.value != last) ++wrong;
    return 0;
  };
  for (int round = 0; round < 200; ++round) {
    machine.group->resume();
    EXPECT_FALSE(machine.group->all_paused());
    // Some rounds pause before the vCPU has begun, some after.
    if (round % 3 == 0) {
      const uint64_t before = recorder.total;
      ASSERT_TRUE(recorder.wait([&] { return recorder.total > before + static_cast<uint64_t>(round % 7); }));
    }
    machine.group->request_pause();
    ASSERT_TRUE(recorder.wait([&] { return machine.group->all_paused(); })) << "round " << round;
    // Paused is paused: no exit, and registers can be had.
    const uint64_t total = recorder.total;
    auto regs = machine.group->vcpu(0).regs();
    ASSERT_TRUE(regs);
    EXPECT_GE(regs->rip, Machine::kCode);
    if (round % 20 == 0) ::usleep(2000);
    EXPECT_EQ(recorder.total, total);
  }
  EXPECT_GT(recorder.total, 100u);
  EXPECT_EQ(wrong, 0u);
  machine.group->resume();
  machine.group->stop_and_join();
}

TEST(VcpuThread, HasItsNameAndLeavesNothingBehind) {
  { Machine warm(true); }
  const size_t threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
  for (int i = 0; i < 5; ++i) {
    Machine machine(true);
    ASSERT_TRUE(machine.ok());
    machine.load(echoes_or_halts());
    ASSERT_TRUE(machine.add());
    ASSERT_TRUE(machine.add());
    EXPECT_TRUE(machine.group->all_paused());
    std::ifstream comm("/proc/self/task/" + std::to_string(machine.group->thread_id(1)) + "/comm");
    std::string name;
    std::getline(comm, name);
    EXPECT_EQ(name, "CPU 1/KVM");
    if (i % 2) machine.group->resume();
  }
  // The kernel lists a thread for a moment after it was joined.
  for (int i = 0; i < 100 && entries("/proc/self/task") > threads; ++i) ::usleep(10'000);
  EXPECT_EQ(entries("/proc/self/task"), threads);
  EXPECT_EQ(entries("/proc/self/fd"), fds);
}

TEST(VcpuThread, StopsThoughTheHandlerWaitsForTheMainThread) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  machine.load(ports_and_memory());
  ASSERT_TRUE(machine.add());
  std::atomic<bool> waiting{false}, go{false};
  machine.recorder.answer = [&](const Access&) -> uint64_t {
    waiting = true;
    while (!go) ::usleep(100);
    return 0;
  };
  machine.group->resume();
  while (!waiting) ::usleep(100);
  machine.group->stop_and_join([&](const std::function<bool()>& done) {
    go = true;  // as a main loop that serves calls would
    while (!done()) ::usleep(100);
  });
}

GUEST(triple_faults, 32, "ud2")

TEST(VcpuThread, ReportsATripleFaultAndCanBeReset) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  machine.load(triple_faults());
  Vcpu* vcpu = machine.add();
  ASSERT_TRUE(vcpu);
  auto power_on = PowerOnState::capture(*machine.kvm, *vcpu);
  ASSERT_TRUE(power_on) << power_on.error().message;
  // Protected mode with an empty interrupt table.
  nacre_x86_state state{};
  state.size = sizeof state;
  state.rip = Machine::kCode;
  state.rflags = 2;
  state.cs = {0, 0xffffffff, 0x10, 0xc9b};
  state.ds = state.es = state.fs = state.gs = state.ss = {0, 0xffffffff, 0x18, 0xc93};
  state.tr = {0, 0xffff, 0, 0x8b};
  state.cr0 = 0x11;
  Recorder& recorder = machine.recorder;
  for (int boot = 1; boot <= 3; ++boot) {
    machine.check(set_state(*vcpu, state));
    machine.group->resume();
    ASSERT_TRUE(recorder.wait(
        [&] { return (recorder.shutdowns_ == boot && machine.group->all_paused()) || !recorder.reports_.empty(); }));
    for (const Report& report : recorder.reports_) ADD_FAILURE() << report.text;
    machine.check(power_on->restore(*vcpu));
    auto sregs = vcpu->sregs();
    ASSERT_TRUE(sregs);
    EXPECT_EQ(sregs->cr0 & 1, 0u);
  }
}

GUEST(jumps_into_nothing, 16, "ljmp $0xd000, $0x10")

TEST(VcpuThread, ReportsAnInstructionThatCannotBeRead) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  machine.load(jumps_into_nothing());
  ASSERT_TRUE(machine.add());
  Recorder& recorder = machine.recorder;
  machine.group->resume();
  ASSERT_TRUE(recorder.wait([&] { return !recorder.reports_.empty() && machine.group->all_paused(); }));
  const Report report = recorder.reports_[0];
  EXPECT_EQ(report.kind, Report::Kind::Emulation) << report.text;
  EXPECT_EQ(report.mode, 16u);
  EXPECT_EQ(report.rip, 0x10u);
  EXPECT_NE(report.text.find("vCPU 0, 16-bit mode, CPL 0"), std::string::npos) << report.text;
}

GUEST(counts_bits, 16, "popcntw %ax, %ax\n outb %al, $0x10\n hlt")

// A host with VMX or SVM executes it; a software KVM says that it cannot.
TEST(VcpuThread, ExecutesAnInstructionOrReportsThatASoftwareKvmLacksIt) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  machine.load(counts_bits());
  ASSERT_TRUE(machine.add());
  Recorder& recorder = machine.recorder;
  machine.group->resume();
  if (!software_kvm()) {
    ASSERT_TRUE(recorder.wait([&] { return !recorder.accesses.empty(); }));
    EXPECT_TRUE(recorder.reports_.empty());
    return;
  }
  ASSERT_TRUE(recorder.wait([&] { return !recorder.reports_.empty() && machine.group->all_paused(); }));
  const Report report = recorder.reports_[0];
  EXPECT_EQ(report.kind, Report::Kind::Emulation);
  EXPECT_EQ(report.rip, Machine::kCode);
  ASSERT_GE(report.bytes.size(), 3u);
  EXPECT_EQ(report.bytes[0], 0xf3);
  EXPECT_EQ(report.text.find("this KVM cannot execute the guest's instruction f3 0f b8 c0"), 0u) << report.text;
  EXPECT_NE(report.text.find("run this guest on a host with VMX or SVM"), std::string::npos) << report.text;
}

}  // namespace
}  // namespace nacre::kvm
