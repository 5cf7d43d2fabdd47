#include "core/kvm/kvm.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/kvm/test_guests.hpp"
#include "core/kvm/test_machine.hpp"

namespace nacre::kvm {
namespace {

uint64_t take(const Fd& fd) {
  uint64_t value = 0;
  return ::read(fd.get(), &value, sizeof value) == 8 ? value : 0;
}

TEST(Kvm, SaysWhatIsMissing) {
  auto absent = Kvm::open("/nonexistent/kvm");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().message.find("there is no KVM here"), std::string::npos) << absent.error().message;
  auto other = Kvm::open("/dev/null");
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("is not the KVM device"), std::string::npos) << other.error().message;
}

TEST(Kvm, OpensTheRealOne) {
  auto kvm = Kvm::open();
  ASSERT_TRUE(kvm) << kvm.error().message;
  EXPECT_GE(kvm->max_vcpus(), 1u);
  EXPECT_EQ(kvm->check_extension(KVM_CAP_IRQFD), 1);
}

TEST(Vm, RefusesInWords) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  auto slot = machine.vm->set_memory_slot(1, 0x1234, 4096, machine.memory);
  ASSERT_FALSE(slot);
  EXPECT_NE(slot.error().message.find("0x1234"), std::string::npos) << slot.error().message;
  auto vcpu = Vcpu::create(*machine.kvm, *machine.vm, 1u << 30);
  ASSERT_FALSE(vcpu);
  EXPECT_NE(vcpu.error().message.find("at most"), std::string::npos) << vcpu.error().message;
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  EXPECT_FALSE(machine.vm->remove_irqfd(4, -1));
  EXPECT_FALSE(machine.vm->add_ioeventfd({.address = 0x1000, .length = 3}, fd.get()));
}

GUEST(writes_to_ioeventfds, 16, R"(
  movw $0xd000, %ax
  movw %ax, %ds
  movw $7, %ax
  movw %ax, 0x50          /* matched */
  movw $8, %ax
  movw %ax, 0x50          /* another value: an exit */
  movl %eax, 0x60         /* any value */
  movw $0x300, %dx
  outb %al, %dx           /* a port */
  movw $0x301, %dx
  outb %al, %dx           /* an exit: done */
  hlt
)")

TEST(Vm, IoeventfdsTakeExactlyTheirWrites) {
  Machine machine(false);
  ASSERT_TRUE(machine.ok());
  Fd match(::eventfd(0, EFD_NONBLOCK)), any(::eventfd(0, EFD_NONBLOCK)), port(::eventfd(0, EFD_NONBLOCK));
  const IoEvent matched{.address = 0xd0050, .length = 2, .match = 7}, anything{.address = 0xd0060, .length = 0},
      on_port{.pio = true, .address = 0x300, .length = 1};
  machine.check(machine.vm->add_ioeventfd(matched, match.get()));
  machine.check(machine.vm->add_ioeventfd(anything, any.get()));
  machine.check(machine.vm->add_ioeventfd(on_port, port.get()));
  machine.load(writes_to_ioeventfds());
  ASSERT_TRUE(machine.add());
  machine.group->resume();
  ASSERT_TRUE(machine.recorder.wait([&] { return machine.recorder.total >= 2; }));
  machine.group->stop_and_join();
  EXPECT_EQ(machine.recorder.accesses, (std::vector<Access>{{'w', 0, 0xd0050, 2, 8}, {'o', 0, 0x301, 1, 8}}));
  EXPECT_EQ(take(match), 1u);
  EXPECT_EQ(take(any), 1u);
  EXPECT_EQ(take(port), 1u);
  machine.check(machine.vm->remove_ioeventfd(matched, match.get()));
  machine.check(machine.vm->remove_ioeventfd(anything, any.get()));
  machine.check(machine.vm->remove_ioeventfd(on_port, port.get()));
  EXPECT_FALSE(machine.vm->remove_ioeventfd(matched, match.get()));
}

// The 8259 is set up by hand: line 4 becomes vector 0x24.
GUEST(waits_for_interrupts, 16, R"(
  xorw %ax, %ax
  movw %ax, %ds
  movw $0x1800, 0x90      /* vector 0x24: offset and segment */
  movw $0, 0x92
  movb $0x11, %al
  outb %al, $0x20
  movb $0x20, %al
  outb %al, $0x21
  movb $0x04, %al
  outb %al, $0x21
  movb $0x01, %al
  outb %al, $0x21
  movb $0xef, %al
  outb %al, $0x21
  outb %al, $0x40 + 0x40  /* ready */
  sti
1: hlt
  jmp 1b
)")
GUEST(interrupt_handler, 16, R"(
  movb $0x55, %al
  outb %al, $0x81
  movb $0x20, %al
  outb %al, $0x20
  iret
)")

TEST(Vm, InterruptsArriveByIrqfdAndByLine) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  machine.load(waits_for_interrupts());
  machine.load(interrupt_handler(), 0x1800);
  ASSERT_TRUE(machine.add());
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  machine.check(machine.vm->add_irqfd(4, fd.get()));
  machine.group->resume();
  Recorder& recorder = machine.recorder;
  ASSERT_TRUE(recorder.wait([&] { return recorder.total == 1; }));
  for (uint64_t i = 0; i < 20; ++i) {
    uint64_t one = 1;
    ASSERT_EQ(::write(fd.get(), &one, sizeof one), 8);
    ASSERT_TRUE(recorder.wait([&] { return recorder.total == 2 + i; })) << i;
  }
  machine.check(machine.vm->remove_irqfd(4, fd.get()));
  machine.check(machine.vm->set_irq_line(4, true));
  EXPECT_TRUE(recorder.wait([&] { return recorder.total == 22; }));
  machine.check(machine.vm->set_irq_line(4, false));
  machine.group->stop_and_join();
  EXPECT_EQ(recorder.accesses.back(), (Access{'o', 0, 0x81, 1, 0x55}));
}

TEST(Vm, ChipsComeBackToTheirFirstState) {
  Machine machine(true);
  ASSERT_TRUE(machine.ok());
  EXPECT_FALSE(machine.vm->restore_chips());
  machine.check(machine.vm->save_chips());
  machine.check(machine.vm->restore_chips());
}

}  // namespace
}  // namespace nacre::kvm
