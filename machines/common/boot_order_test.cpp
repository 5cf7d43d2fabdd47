#include "machines/common/boot_order.hpp"

#include <gtest/gtest.h>

namespace nacre::machine {
namespace {

constexpr uint32_t kDisk = 2, kNic = 1;

void add(BootOrder& order, uint32_t virtio_device_id, std::vector<uint8_t> path) {
  nacre_boot_device device{};
  device.size = sizeof device;
  device.virtio_device_id = virtio_device_id;
  device.path = path.data();
  device.path_length = static_cast<uint32_t>(path.size());
  order.add(device);
}

std::string text(BootOrder& order) {
  const Bytes content = order.take();
  return {content.begin(), content.end()};
}

TEST(BootOrder, PathsAsFirmwareComparesThem) {
  BootOrder order;
  add(order, kDisk, {2 << 3});
  add(order, kDisk, {0x1f << 3 | 3});
  add(order, kDisk, {1 << 3 | 1, 0});
  add(order, kDisk, {0x10 << 3, 0xa << 3, 7});
  EXPECT_EQ(text(order), std::string("/pci@i0cf8/scsi@2/disk@0,0\n"
                                     "/pci@i0cf8/scsi@1f,3/disk@0,0\n"
                                     "/pci@i0cf8/pci-bridge@1,1/scsi@0/disk@0,0\n"
                                     "/pci@i0cf8/pci-bridge@10/pci-bridge@a/scsi@0,7/disk@0,0") +
                             '\0');
}

TEST(BootOrder, OnlyWhatFirmwareStartsFrom) {
  BootOrder order;
  EXPECT_EQ(text(order), "");
  add(order, kNic, {8});
  add(order, 0, {16});
  EXPECT_EQ(text(order), "");
}

}  // namespace
}  // namespace nacre::machine
