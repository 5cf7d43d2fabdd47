// A guest at the BAR of a plugin's function: what it reaches without an exit, and what it does not.
#include "core/vm/bar_memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/kvm/test_guests.hpp"
#include "core/kvm/test_machine.hpp"
#include "core/vm/pci_tree.hpp"
#include "core/vm/plugin_function.hpp"

namespace nacre {
namespace {

using kvm::Access;

constexpr uint64_t kBar = 0xd0000, kBarBytes = 0x4000;

GUEST(uses_a_bar, 16, R"(
  movw $0xd000, %ax
  movw %ax, %ds
  movw 0x1000, %ax        /* memory: no exit */
  incw %ax
  movw %ax, 0x1002
  movw 0x2000, %ax        /* memory that it may read */
  movw %ax, 0x2000        /* and not write: an exit */
  movw %ax, 0x0010        /* an event: no exit */
  movw %ax, 0x0020        /* a register: an exit */
  movw $0x301, %dx
  outw %ax, %dx           /* an exit: done */
  hlt
)")

TEST(BarMemory, IsTheGuestsWithoutAnExit) {
  kvm::Machine machine(false);
  ASSERT_TRUE(machine.ok());
  auto loop = std::move(*EventLoop::create());
  auto ram = std::move(*GuestMemory::create(1 << 20, {}));
  AddressSpace memory{{}}, ports{{.space = NACRE_SPACE_PIO}};
  nacre_pci_host wanted{};
  wanted.size = sizeof wanted;
  wanted.memory32_base = kBar;
  wanted.memory32_length = kBarBytes;
  auto tree = PciTree::create(wanted, *machine.vm, memory, ports, *loop, *ram);
  ASSERT_TRUE(tree) << tree.error().message;
  pci::PciHost& host = (*tree)->host();
  nacre_pci_desc desc{};
  desc.size = sizeof desc;
  void* nobody = nullptr;
  auto made = PluginFunction::create(
      host, (*tree)->bar_slots(),
      {"org.example.shared", "shared0", "the function", loop.get(), nullptr, &nobody, nullptr}, desc, nullptr);
  ASSERT_TRUE(made) << made.error().message;
  PluginFunction& function = **made;

  Fd file(::memfd_create("bar", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 0x2000), 0);
  const uint16_t first = 0x1234, second = 0x5678;
  ASSERT_EQ(::pwrite(file.get(), &first, 2, 0), 2);
  ASSERT_EQ(::pwrite(file.get(), &second, 2, 0x1000), 2);
  machine.check(
      function.add_plugin_bar({sizeof(nacre_pci_bar), 0, NACRE_PCI_BAR_MEMORY32, 0, kBarBytes, nullptr, nullptr}));
  machine.check(function.add_memory({sizeof(nacre_pci_memory), 0, 0x1000, 0x1000, file.get(), 0, 0}));
  machine.check(function.add_memory(
      {sizeof(nacre_pci_memory), 0, 0x2000, 0x1000, file.get(), NACRE_PCI_MEMORY_READONLY, 0x1000}));
  auto event = function.add_event(0, 0x10, 2, {});
  ASSERT_TRUE(event) << event.error().message;
  host.plug(host.root(), 0, function);
  host.write_config(0, 0, pci::kBar0, 4, kBar);
  host.write_config(0, 0, pci::kCommand, 2, pci::kMemoryDecode);

  machine.load(uses_a_bar());
  ASSERT_TRUE(machine.add());
  machine.group->resume();
  ASSERT_TRUE(machine.recorder.wait([&] { return machine.recorder.total >= 3; }));
  machine.group->stop_and_join();
  EXPECT_EQ(machine.recorder.accesses,
            (std::vector<Access>{
                {'w', 0, kBar + 0x2000, 2, second}, {'w', 0, kBar + 0x20, 2, second}, {'o', 0, 0x301, 2, second}}));
  uint16_t written = 0;
  ASSERT_EQ(::pread(file.get(), &written, 2, 2), 2);
  EXPECT_EQ(written, first + 1);
  uint64_t signals = 0;
  EXPECT_EQ(::read(*event, &signals, sizeof signals), 8);
  EXPECT_EQ(signals, 1u);
  host.unplug(function);
}

}  // namespace
}  // namespace nacre
