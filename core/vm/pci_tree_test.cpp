#include "core/vm/pci_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/bus/pci/root_port.hpp"
#include "core/kvm/kvm.hpp"

namespace nacre {
namespace {

class PciTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    auto kvm = kvm::Kvm::open();
    ASSERT_TRUE(kvm) << kvm.error().message;
    auto vm = kvm::Vm::create(*kvm);
    ASSERT_TRUE(vm) << vm.error().message;
    vm_ = std::make_unique<kvm::Vm>(std::move(*vm));
    loop_ = std::move(*EventLoop::create());
    ram_ = std::move(*GuestMemory::create(1 << 20, {}));
    ASSERT_TRUE(ram_->place(0, 1 << 20));
    ports_ = std::make_unique<AddressSpace>(AddressSpace::Options{.space = NACRE_SPACE_PIO});
    wanted_.size = sizeof wanted_;
    wanted_.ecam_base = 0xb0000000;
    wanted_.ecam_buses = 256;
    wanted_.first_gsi = 16;
    wanted_.memory32_base = 0xc0000000;
    wanted_.memory32_length = 0x30000000;
    auto tree = make();
    ASSERT_TRUE(tree) << tree.error().message;
    tree_ = std::move(*tree);
    nacre_pci_function bridge{};
    bridge.size = sizeof bridge;
    bridge.vendor_id = 0x8086;
    bridge.name = "the host bridge";
    bridge.writable = writable_;
    bridge.written = [](void* self, const uint8_t* config, uint32_t offset, uint32_t) noexcept {
      static_cast<PciTreeTest*>(self)->seen_ = {offset, config[0x60]};
    };
    bridge.opaque = this;
    writable_[0x60] = 0x0f;
    ASSERT_TRUE(tree_->add_function(bridge));
    EXPECT_FALSE(tree_->add_function(bridge));  // the place is taken
    port_ = std::move(*pci::RootPort::create("pcie.1", "device 'pcie.1'", {}, tree_->host()));
    tree_->host().plug(tree_->host().root(), 2 << 3, *port_);
  }
  void TearDown() override {
    if (port_) tree_->host().unplug(*port_);
  }

  Result<std::unique_ptr<PciTree>> make() { return PciTree::create(wanted_, *vm_, memory_, *ports_, *loop_, *ram_); }
  std::string refusal(const PciTree::Words& words) {
    auto place = tree_->find_place(words);
    return place ? "" : place.error().message;
  }
  bool refuses(const PciTree::Words& words, std::string_view why) {
    const std::string said = refusal(words);
    return said.find(why) != std::string::npos || (ADD_FAILURE() << "it says: " << said, false);
  }

  std::unique_ptr<kvm::Vm> vm_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GuestMemory> ram_;
  AddressSpace memory_{{}};
  std::unique_ptr<AddressSpace> ports_;
  nacre_pci_host wanted_{};
  uint8_t writable_[256] = {};
  std::pair<uint32_t, uint8_t> seen_;
  std::unique_ptr<PciTree> tree_;
  std::unique_ptr<pci::RootPort> port_;
};

TEST_F(PciTreeTest, FindsPlaces) {
  EXPECT_EQ(tree_->find_place({"", ""})->devfn, 1 << 3);  // the host bridge has the first slot
  EXPECT_EQ(tree_->find_place({"pcie.0", "0x3"})->devfn, 3 << 3);
  EXPECT_EQ(tree_->find_place({"", "1f"})->devfn, 0x1f << 3);
  EXPECT_EQ(tree_->find_place({"pcie.1", ""})->bus, port_->secondary());
  EXPECT_EQ(tree_->find_place({"pcie.1", "0x0", true})->devfn, 0);
}

TEST_F(PciTreeTest, RefusesInWords) {
  EXPECT_TRUE(refuses({"pcie.9", ""}, "there is no PCI bus 'pcie.9'. Did you mean 'pcie."));
  for (const char* bad : {"0x20", "3.8", "x", "0x3.", ".1", "3 "}) EXPECT_TRUE(refuses({"", bad}, "is no PCI address"));
  EXPECT_TRUE(refuses({"", "0x0"}, "occupied by the host bridge"));
  EXPECT_TRUE(refuses({"", "0x2"}, "occupied by device 'pcie.1'"));
  EXPECT_TRUE(refuses({"", "0x2.0x1"}, "give it multifunction=on"));
  EXPECT_TRUE(refuses({"pcie.1", "0x1"}, "has slot 0x0 only"));
  EXPECT_TRUE(refuses({.bus = "pcie.1", .port = true}, "a root port stands on bus 'pcie.0'"));
  EXPECT_TRUE(refuses({"", "0x5", true}, "No hot plug controller found for bus pcie.0 when plug"));
  EXPECT_TRUE(refuses({"pcie.1", "0x0.0x1", true}, "at addr 0x0 only"));
  port_->set_multifunction(true);
  EXPECT_EQ(refusal({"", "0x2.0x1"}), "");
}

TEST_F(PciTreeTest, TellsTheMachineWhatTheGuestWrites) {
  tree_->host().write_config(0, 0, 0x60, 1, 0xff);
  EXPECT_EQ(seen_, (std::pair<uint32_t, uint8_t>{0x60, 0x0f}));
  tree_->host().write_config(0, 0, 0x04, 2, 0xff);
  EXPECT_EQ(seen_.first, 0x60u);
  tree_->host().reset();
  EXPECT_EQ(seen_, (std::pair<uint32_t, uint8_t>{0x40, 0}));
}

TEST_F(PciTreeTest, RefusesWindowsOverRam) {
  tree_->host().unplug(*port_);
  port_.reset();
  tree_.reset();
  wanted_.memory32_base = 0;
  auto tree = make();
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().message.find("where RAM is"), std::string::npos);
}

}  // namespace
}  // namespace nacre
