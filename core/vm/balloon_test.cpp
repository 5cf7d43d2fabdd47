#include "core/vm/balloon.hpp"

#include <gtest/gtest.h>

namespace nacre {
namespace {

struct Device {
  nacre_status code = NACRE_OK;
  uint64_t target = 0;
};

nacre_status set_target(void* self, uint64_t bytes) noexcept {
  auto* device = static_cast<Device*>(self);
  if (device->code == NACRE_OK) device->target = bytes;
  return device->code;
}
nacre_status actual(void* self, uint64_t* bytes) noexcept {
  *bytes = static_cast<Device*>(self)->target;
  return static_cast<Device*>(self)->code;
}
nacre_status stats(void* self, nacre_balloon_stats* stats) noexcept {
  stats->known = 1u << 4;
  stats->values[4] = 77;
  return static_cast<Device*>(self)->code;
}

constexpr nacre_balloon_ops kOps{sizeof(nacre_balloon_ops), 0, set_target, actual, stats};

TEST(Balloon, IsNotActiveWithoutADeviceOrItsDriver) {
  Balloon balloon;
  Device device;
  for (nacre_status code : {NACRE_OK, NACRE_NOT_FOUND}) {
    device.code = code;
    for (const Error& error : {balloon.set_target(1).error(), balloon.actual().error(), balloon.stats().error()}) {
      EXPECT_EQ(error.message, "No balloon device has been activated");
      EXPECT_EQ(error.kind, ErrorClass::DeviceNotActive);
    }
    // The second time round there is a device, whose driver is not active.
    if (code == NACRE_OK) {
      ASSERT_TRUE(balloon.attach("b", kOps, &device));
    }
    device.code = NACRE_NOT_FOUND;
  }
}

TEST(Balloon, IsOne) {
  Balloon balloon;
  Device device;
  ASSERT_TRUE(balloon.attach("b0", kOps, &device));
  EXPECT_EQ(balloon.attach("b1", kOps, &device).error().message, "Only one balloon device is supported for each vm.");
  EXPECT_TRUE(balloon.set_target(123));
  EXPECT_EQ(*balloon.actual(), 123u);
  EXPECT_EQ(balloon.stats()->values[4], 77u);
  balloon.detach();
  EXPECT_FALSE(balloon.actual());
  EXPECT_TRUE(balloon.attach("b1", kOps, &device));
}

TEST(Balloon, UsesNoFunctionBeyondItsDevicesSize) {
  Balloon balloon;
  Device device;
  nacre_balloon_ops old = kOps;
  old.size = offsetof(nacre_balloon_ops, stats);
  ASSERT_TRUE(balloon.attach("b", old, &device));
  EXPECT_TRUE(balloon.actual());
  EXPECT_NE(balloon.stats().error().message.find("no statistics"), std::string::npos);
  balloon.detach();
  old.size = offsetof(nacre_balloon_ops, actual);
  old.actual = nullptr;
  EXPECT_FALSE(balloon.attach("b", old, &device));
}

TEST(Balloon, ExcludesDevicesThatPinMemory) {
  Balloon balloon;
  Device device;
  ASSERT_TRUE(balloon.pin("vfio0"));
  ASSERT_TRUE(balloon.pin("vfio0"));
  ASSERT_TRUE(balloon.pin("vfio1"));
  balloon.unpin("vfio0");
  Status refused = balloon.attach("b", kOps, &device);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("'vfio0'"), std::string::npos) << refused.error().message;
  balloon.unpin("vfio0");
  EXPECT_FALSE(balloon.attach("b", kOps, &device));
  balloon.unpin("vfio1");
  balloon.unpin("vfio1");
  ASSERT_TRUE(balloon.attach("b", kOps, &device));
  refused = balloon.pin("vfio0");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("'b'"), std::string::npos) << refused.error().message;
  balloon.detach();
  EXPECT_TRUE(balloon.pin("vfio0"));
}

}  // namespace
}  // namespace nacre
