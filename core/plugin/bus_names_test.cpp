#include "core/plugin/bus_names.hpp"

#include <gtest/gtest.h>

namespace nacre {
namespace {

using Names = std::vector<std::string>;

TEST(BusNames, OnlyVirtioDriversHaveOnesOnPci) {
  EXPECT_EQ(pci_names("virtio", "virtio-rng-device", {}), (Names{"virtio-rng-pci"}));
  EXPECT_EQ(pci_names("virtio", "virtio-blk-device", {"virtio-blk-mmio"}), (Names{"virtio-blk-pci"}));
  EXPECT_EQ(pci_names("virtio", "acme", {"acme2"}), (Names{"acme-pci", "acme2-pci"}));
  EXPECT_EQ(pci_names("isa", "isa-serial", {}), Names{});
}

}  // namespace
}  // namespace nacre
