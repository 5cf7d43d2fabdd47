// A descriptor that QMP getfd has passed, as the property of a device: whose it is, whatever becomes of the device.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"
#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using ::testing::HasSubstr;

size_t open_descriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

class Descriptor : public ::testing::Test {
 protected:
  void SetUp() override {
    shop_.put_fixture("fd", "fd.so");
    RegistryOptions options;
    options.directories = {{shop_.path(), false}};
    registry_ = std::make_unique<Registry>(&services::hello(), options);
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error().message;
    loop_ = std::move(*loop);
    vm_ = std::make_unique<VirtualMachine>(*loop_, *registry_);
    vm_->passed_fds().add("vhost0", Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    (void)vm_->devices().hot_add("test-fd", "warm-up", {});
    ASSERT_TRUE(vm_->devices().remove("warm-up"));
  }
  // "" when the device is there.
  std::string add(const std::string& fd, const std::string& level) {
    auto added = vm_->devices().hot_add("test-fd", "d", {{"fd", fd}, {"level", level}});
    return added ? "" : added.error().message;
  }
  bool passed() const { return vm_->passed_fds().find("vhost0") >= 0; }

  Workshop shop_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<VirtualMachine> vm_;
};

TEST_F(Descriptor, IsTheDevicesOnceItHasAskedForIt) {
  const size_t before = open_descriptors();
  EXPECT_EQ(add("vhost0", "2"), "");
  EXPECT_FALSE(passed());
  EXPECT_EQ(open_descriptors(), before);
  ASSERT_TRUE(vm_->devices().remove("d"));
  EXPECT_EQ(open_descriptors(), before - 1);
}

TEST_F(Descriptor, GoesWithADeviceThatNeverAsked) {
  const size_t before = open_descriptors();
  EXPECT_EQ(add("vhost0", "1"), "");
  EXPECT_FALSE(passed());
  ASSERT_TRUE(vm_->devices().remove("d"));
  EXPECT_EQ(open_descriptors(), before - 1);
}

TEST_F(Descriptor, StaysTheClientsWhenTheDeviceFails) {
  const size_t before = open_descriptors();
  EXPECT_THAT(add("vhost0", "3"), HasSubstr("wrong kind"));
  EXPECT_THAT(add("vhost0", "10"), HasSubstr("1 to 9"));
  EXPECT_TRUE(passed());
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(add("vhost0", "2"), "");
}

TEST_F(Descriptor, AWrongNameIsSaidWithTheNearest) {
  const std::string said = add("vhots0", "2");
  EXPECT_THAT(said, HasSubstr("'fd' of 'test-fd'"));
  EXPECT_THAT(said, HasSubstr("Did you mean 'vhost0'?"));
}

}  // namespace
}  // namespace nacre::test
