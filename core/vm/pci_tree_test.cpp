#include "core/vm/pci_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/bus/pci/root_port.hpp"
#include "core/vm/test_pci_tree.hpp"

namespace nacre {
namespace {

class PciTreeTest : public PciTreeFixture {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(open());
    wanted_.ecam_base = 0xb0000000;
    wanted_.ecam_buses = 256;
    auto tree = make_tree();
    ASSERT_TRUE(tree) << tree.error().message;
    tree_ = std::move(*tree);
    auto bridge = [] {
      return std::make_unique<pci::PciFunction>("the host bridge", pci::Identity{0x8086, 0x29c0, 0, 0x060000});
    };
    ASSERT_TRUE(tree_->add_function(bridge(), 0));
    EXPECT_FALSE(tree_->add_function(bridge(), 0));  // the place is taken
    port_ = std::move(*pci::RootPort::create("pcie.1", "device 'pcie.1'", {}, tree_->host()));
    tree_->host().plug(tree_->host().root(), 2 << 3, *port_);
  }
  void TearDown() override {
    if (port_) tree_->host().unplug(*port_);
  }

  std::string refusal(const PciTree::Words& words) {
    auto place = tree_->find_place(words);
    return place ? "" : place.error().message;
  }
  bool refuses(const PciTree::Words& words, std::string_view why) {
    const std::string said = refusal(words);
    return said.find(why) != std::string::npos || (ADD_FAILURE() << "it says: " << said, false);
  }

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

TEST_F(PciTreeTest, RefusesWindowsOverRam) {
  tree_->host().unplug(*port_);
  port_.reset();
  tree_.reset();
  wanted_.memory32_base = 0;
  auto tree = make_tree();
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().message.find("where RAM is"), std::string::npos);
}

}  // namespace
}  // namespace nacre
