// What a device posts to its loop never comes after it is gone.
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"
#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

class Posting : public ::testing::Test {
 protected:
  void SetUp() override {
    shop_.put_fixture("posting", "posting.so");
    RegistryOptions options;
    options.directories = {{shop_.path(), false}};
    registry_ = std::make_unique<Registry>(&services::hello(), options);
    auto loop = EventLoop::create();
    ASSERT_TRUE(loop) << loop.error().message;
    loop_ = std::move(*loop);
    vm_ = std::make_unique<VirtualMachine>(*loop_, *registry_);
    came_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  void add() {
    vm_->passed_fds().add("came", Fd(::dup(came_.get())));
    auto added = vm_->devices().hot_add("test-posting", "d", {{"fd", "came"}});
    ASSERT_TRUE(added) << added.error().message;
  }
  // How many posts have come since the last time, once the loop has served all that it has.
  uint64_t count() {
    loop_->post([&] { loop_->stop(); });
    loop_->run();
    eventfd_t value = 0;
    return ::eventfd_read(came_.get(), &value) == 0 ? value : 0;
  }

  Workshop shop_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<VirtualMachine> vm_;
  Fd came_;
};

TEST_F(Posting, ComesWhileTheDeviceIsThere) {
  add();
  EXPECT_EQ(count(), 1u);
  ASSERT_TRUE(vm_->devices().remove("d"));
  EXPECT_EQ(count(), 0u);
}

TEST_F(Posting, IsDroppedWithTheDevice) {
  add();
  ASSERT_TRUE(vm_->devices().remove("d"));
  EXPECT_EQ(count(), 0u);
}

TEST_F(Posting, IsDroppedAlone) {
  add();
  vm_->passed_fds().add("other", Fd(::dup(came_.get())));
  ASSERT_TRUE(vm_->devices().hot_add("test-posting", "other", {{"fd", "other"}}));
  ASSERT_TRUE(vm_->devices().remove("d"));
  EXPECT_EQ(count(), 1u);
}

}  // namespace
}  // namespace nacre::test
