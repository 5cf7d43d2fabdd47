#include "core/vm/plugin_function.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "core/vm/test_pci_tree.hpp"

namespace nacre {
namespace {

constexpr uint64_t kMemory = 0xc0000000;

// A small device on a bus of its own, and the plugin's side of it.
class PluginFunctionTest : public PciTreeFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(open());
    wanted_.io_base = 0x1000;
    wanted_.io_length = 0xf000;
    auto tree = make_tree();
    ASSERT_TRUE(tree) << tree.error().message;
    tree_ = std::move(*tree);
    desc_.size = sizeof desc_;
    desc_.flags = NACRE_PCI_EXPRESS;
    desc_.vendor_id = 0x1234;
    desc_.device_id = 0x5678;
    desc_.class_code = 0x010802;
    desc_.interrupt_pin = 1;
    desc_.ops = &kOps;
    function_ = make();
    ASSERT_TRUE(function_);
  }
  void TearDown() override {
    if (function_ && function_->bus()) host().unplug(*function_);
  }

  pci::PciHost& host() { return tree_->host(); }
  Result<std::unique_ptr<PluginFunction>> try_make() {
    return PluginFunction::create(
        host(), tree_->bar_slots(),
        {"org.example.small", "small0", "device 'small0' (small)", loop_.get(), on_reset, &self_, nullptr}, desc_,
        this);
  }
  std::unique_ptr<PluginFunction> make() {
    auto made = try_make();
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }
  void plug() { host().plug(host().root(), kDevfn, *function_); }
  uint32_t read(uint32_t offset, uint32_t width) { return host().read_config(0, kDevfn, offset, width); }
  void write(uint32_t offset, uint32_t width, uint32_t value) { host().write_config(0, kDevfn, offset, width, value); }
  // Has the guest put BAR 0 at the beginning of the window, or take it away.
  void decode(bool on) {
    write(pci::kBar0, 4, kMemory);
    write(pci::kCommand, 2, on ? pci::kMemoryDecode | pci::kBusMaster : 0);
  }
  nacre_pci_bar bar(uint32_t index, uint32_t kind, uint64_t length) {
    return {sizeof(nacre_pci_bar), index, kind, 0, length, &kRegisters, this};
  }
  nacre_pci_memory memory(uint64_t offset, uint64_t length, int fd) {
    return {sizeof(nacre_pci_memory), 0, offset, length, fd, 0, 0};
  }
  nacre_pci_capability capability(uint32_t kind, uint32_t id, uint32_t offset, uint32_t length) {
    return {sizeof(nacre_pci_capability), kind, id, 1, offset, length, content_, writable_, nullptr};
  }
  // Whether the outcome is a refusal with these words in it.
  template <typename Outcome>
  static bool refused(const Outcome& outcome, std::string_view words) {
    if (outcome) return ADD_FAILURE() << "it is taken", false;
    const std::string& said = outcome.error().message;
    return said.find(words) != std::string::npos || (ADD_FAILURE() << "it says: " << said, false);
  }

  static constexpr uint8_t kDevfn = 3 << 3;
  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    return static_cast<PluginFunctionTest*>(self)->register_ + offset;
  }
  static void on_write(void* self, uint64_t, uint32_t, uint64_t value) noexcept {
    static_cast<PluginFunctionTest*>(self)->register_ = value;
  }
  static constexpr nacre_mmio_ops kRegisters{sizeof(nacre_mmio_ops), 0, on_read, on_write};
  static void on_config(void* self, const uint8_t* config, uint32_t offset, uint32_t width) noexcept {
    auto& test = *static_cast<PluginFunctionTest*>(self);
    test.heard_.push_back({offset, width});
    test.last_command_ = config[pci::kCommand];
    uint8_t byte = 0;
    // From inside it the configuration is at hand.
    test.reachable_ = test.function_->read_bytes(0, &byte, 1);
  }
  static constexpr nacre_pci_ops kOps{sizeof(nacre_pci_ops), 0, on_config};
  static void on_reset(void* self) noexcept {
    auto& test = *static_cast<PluginFunctionTest*>(self);
    ++test.resets_;
    if (test.own_) test.reachable_ = test.function_->write_bytes(test.own_, "r", 1);
  }

  nacre_pci_desc desc_{};
  void* self_ = this;
  std::unique_ptr<PluginFunction> function_;
  uint8_t content_[64] = {0xaa, 0xaa, 0xaa, 0xaa, 5}, writable_[64] = {0xff, 0xff, 0xff, 0xff, 0x0f};
  uint64_t register_ = 0x100;
  std::vector<std::pair<uint32_t, uint32_t>> heard_;
  uint8_t last_command_ = 0;
  bool reachable_ = false;
  uint32_t own_ = 0;
  int resets_ = 0;
};

TEST_F(PluginFunctionTest, IsWhatItSays) {
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x4000)));
  ASSERT_TRUE(function_->add_plugin_msix(4, 5));
  auto own = function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, 0, 8));
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_TRUE(function_->add_plugin_capability(capability(NACRE_PCI_EXTENDED_CAPABILITY, 0x1234, 0, 12)));
  EXPECT_EQ(*function_->vector_fd(4), *function_->vector_fd(4));
  EXPECT_NE(*function_->vector_fd(4), *function_->vector_fd(0));
  plug();
  EXPECT_EQ(read(0, 4), 0x56781234u);
  EXPECT_EQ(read(pci::kClassCode, 1), 2u);
  EXPECT_EQ(read(pci::kInterruptPin, 1), 1u);
  EXPECT_EQ(read(*own, 1), 9u);  // the header is the host's
  EXPECT_EQ(read(*own + 2, 1), 0xaau);
  write(*own + 4, 4, UINT32_MAX);
  EXPECT_EQ(read(*own + 4, 4), 0x0fu);
  EXPECT_EQ(read(0x100, 4), 0x11234u);
  decode(true);
  EXPECT_EQ(memory_.read(0, kMemory + 8, 4), 0x108u);
  memory_.write(0, kMemory, 4, 0x200);
  EXPECT_EQ(register_, 0x200u);
  EXPECT_EQ(function_->state(), NACRE_PCI_BUS_MASTER | NACRE_PCI_MEMORY_ON);
}

TEST_F(PluginFunctionTest, HearsOfWritesAndResets) {
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x4000)));
  own_ = *function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, 0, 8)) + 4;
  plug();
  decode(true);
  EXPECT_EQ(heard_.back(), (std::pair<uint32_t, uint32_t>{pci::kCommand, 2}));
  EXPECT_EQ(last_command_, pci::kMemoryDecode | pci::kBusMaster);
  EXPECT_TRUE(reachable_);
  // The reset of the function alone: everything as at the beginning, the range gone (PCIe 5.0 §6.6.2).
  const uint32_t express = function_->config().find_capability(0x10);
  EXPECT_TRUE(read(express + 4, 4) & 1u << 28);
  write(express + 8, 2, 1 << 15);
  EXPECT_EQ(resets_, 1);
  EXPECT_EQ(heard_.back(), (std::pair<uint32_t, uint32_t>{0, 4096}));
  EXPECT_EQ(function_->state(), 0u);
  EXPECT_EQ(read(pci::kBar0, 4), 0u);
  EXPECT_EQ(memory_.read(0, kMemory, 4), UINT32_MAX);
  host().reset();
  EXPECT_EQ(resets_, 2);
}

TEST_F(PluginFunctionTest, WritesItsOwnBytesOnly) {
  const uint32_t at = *function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, 0, 8));
  plug();
  const uint32_t value = 0x04030201;
  EXPECT_TRUE(function_->write_bytes(at + 4, &value, 4));
  EXPECT_EQ(read(at + 4, 4), value);
  EXPECT_FALSE(function_->write_bytes(at, &value, 4));  // its header
  EXPECT_FALSE(function_->write_bytes(pci::kCommand, &value, 2));
  EXPECT_FALSE(function_->write_bytes(at + 6, &value, 4));
  EXPECT_FALSE(function_->write_bytes(UINT32_MAX, &value, 4));
  uint32_t seen = 0;
  EXPECT_TRUE(function_->read_bytes(at + 4, &seen, 4));
  EXPECT_EQ(seen, value);
  EXPECT_FALSE(function_->read_bytes(4094, &seen, 4));
}

TEST_F(PluginFunctionTest, ShowsMemoryBehindABar) {
  const int fd = ::memfd_create("bar", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd, 0x2000), 0);
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x8000)));
  EXPECT_TRUE(refused(function_->add_memory(memory(0x1000, 0x3000, fd)), "has 0x2000 bytes, too few"));
  EXPECT_TRUE(refused(function_->add_memory(memory(0x800, 0x1000, fd)), "multiples of 4096"));
  EXPECT_TRUE(refused(function_->add_memory(memory(0x7000, 0x2000, fd)), "are not inside BAR 0"));
  EXPECT_TRUE(refused(function_->add_memory(memory(0, 0x1000, 9999)), "Bad file descriptor"));
  auto behind = function_->add_memory(memory(0x2000, 0x2000, fd));
  ASSERT_TRUE(behind) << behind.error().message;
  EXPECT_TRUE(refused(function_->add_memory(memory(0x3000, 0x1000, fd)), "overlaps what is at 0x2000"));
  ::close(fd);
  plug();
  // KVM refuses memory where some is already: so it tells whether it is there.
  void* page = ::mmap(nullptr, 0x1000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto there = [&] {
    const bool taken = !vm_->set_memory_slot(100, kMemory + 0x3000, 0x1000, page);
    if (!taken) (void)vm_->set_memory_slot(100, 0, 0, nullptr);
    return taken;
  };
  EXPECT_FALSE(there());
  decode(true);
  EXPECT_TRUE(there());
  EXPECT_EQ(memory_.read(0, kMemory, 4), 0x100u);  // beside it, the registers
  decode(false);
  EXPECT_FALSE(there());
  decode(true);
  EXPECT_TRUE(there());
  host().unplug(*function_);
  EXPECT_FALSE(there());
  ::munmap(page, 0x1000);
}

TEST_F(PluginFunctionTest, TiesEventsWhereTheBarIs) {
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x1000)));
  EXPECT_TRUE(refused(function_->add_event(1, 0, 4, {}), "BAR 1 is none"));
  EXPECT_TRUE(refused(function_->add_event(0, 0xfff, 4, {}), "is not inside BAR 0"));
  EXPECT_TRUE(refused(function_->add_event(0, 0, 3, {}), "the width is"));
  EXPECT_TRUE(refused(function_->add_event(0, 0, 0, 1), "no value to match"));
  auto fd = function_->add_event(0, 0x10, 4, {});
  ASSERT_TRUE(fd) << fd.error().message;
  plug();
  decode(true);
  // KVM takes no second event of the same kind at one address.
  EXPECT_FALSE(vm_->add_ioeventfd({.address = kMemory + 0x10, .length = 4}, *fd));
  decode(false);
  EXPECT_TRUE(vm_->add_ioeventfd({.address = kMemory + 0x10, .length = 4}, *fd));
  EXPECT_TRUE(vm_->remove_ioeventfd({.address = kMemory + 0x10, .length = 4}, *fd));
}

TEST_F(PluginFunctionTest, SaysOnceASecondThatAnEventIsNotTied) {
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x1000)));
  auto fd = function_->add_event(0, 0x10, 4, {});
  ASSERT_TRUE(fd) << fd.error().message;
  plug();
  const kvm::IoEvent taken{.address = kMemory + 0x10, .length = 4};
  ASSERT_TRUE(vm_->add_ioeventfd(taken, *fd));
  testing::internal::CaptureStderr();
  timespec begin{}, end{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < 1000; ++i) {
    decode(true);
    decode(false);
  }
  ::clock_gettime(CLOCK_MONOTONIC, &end);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("device 'small0'"), log.npos) << log;
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 1 + end.tv_sec - begin.tv_sec) << log;
  EXPECT_TRUE(vm_->remove_ioeventfd(taken, *fd));
}

TEST_F(PluginFunctionTest, RefusesWhatIsWrong) {
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY32, 0x1800)), "is a power of two"));
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(5, NACRE_PCI_BAR_MEMORY64, 0x1000)), "no room for BAR 5"));
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(6, NACRE_PCI_BAR_IO, 8)), "no room for BAR 6"));
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(0, 7, 8)), "of kind 7"));
  EXPECT_TRUE(refused(function_->add_plugin_msix(0, 0), "it has 1 to 2048"));
  EXPECT_TRUE(refused(function_->add_plugin_msix(0, 2049), "it has 1 to 2048"));
  EXPECT_TRUE(refused(function_->vector_fd(0), "there is no vector 0"));
  ASSERT_TRUE(function_->add_plugin_bar(bar(0, NACRE_PCI_BAR_MEMORY64, 0x1000)));
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(1, NACRE_PCI_BAR_MEMORY32, 0x1000)), "BAR 1 is taken"));
  EXPECT_TRUE(refused(function_->add_plugin_msix(0, 4), "BAR 0 is taken"));
  EXPECT_EQ(function_->msix(), nullptr);
  ASSERT_TRUE(function_->add_plugin_msix(2, 4));
  EXPECT_TRUE(refused(function_->add_plugin_msix(3, 4), "has MSI-X already"));
  nacre_pci_memory on_table = memory(0, 0x1000, 0);
  on_table.bar = 2;
  EXPECT_TRUE(refused(function_->add_memory(on_table), "BAR 2 is none of memory"));
  const uint32_t taken = function_->config().find_capability(0x11);
  EXPECT_TRUE(
      refused(function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, taken, 8)), "is in its way"));
  EXPECT_TRUE(refused(function_->add_plugin_capability(capability(NACRE_PCI_REGISTERS, 0, 0x10, 8)), "no room there"));
  EXPECT_TRUE(refused(function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 0x100, 0, 8)), "8 bits"));
  EXPECT_TRUE(refused(function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, 0, 1)), "cannot be in"));
  EXPECT_TRUE(refused(function_->add_plugin_capability(capability(NACRE_PCI_CAPABILITY, 9, 0x41, 8)), "cannot be in"));
  EXPECT_TRUE(refused(function_->add_plugin_capability(capability(4, 9, 0, 8)), "of kind 4"));
  plug();
  EXPECT_TRUE(refused(function_->add_plugin_bar(bar(4, NACRE_PCI_BAR_IO, 8)), "complete when realize() has returned"));
  desc_.vendor_id = 0xffff;
  EXPECT_TRUE(refused(try_make(), "no function is there"));
  desc_.vendor_id = 1;
  desc_.interrupt_pin = 5;
  EXPECT_TRUE(refused(try_make(), "interrupt pin 5"));
  desc_.interrupt_pin = 0;
  desc_.flags = 2;
  EXPECT_TRUE(refused(try_make(), "flag 0x2 of the PCI function is unknown"));
}

}  // namespace
}  // namespace nacre
