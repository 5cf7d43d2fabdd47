#include "core/bus/address_space.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "core/loop/event_loop.hpp"

namespace nacre {
namespace {

struct Device {
  std::atomic<int> calls{0};
  uint64_t last_offset = 0;
  uint32_t last_width = 0;
  uint64_t last_value = 0;
  uint64_t answer = 0;
  std::function<void()> inside;
};

const nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0,
                          [](void* opaque, uint64_t offset, uint32_t width) noexcept -> uint64_t {
                            auto* device = static_cast<Device*>(opaque);
                            device->calls++;
                            device->last_offset = offset;
                            device->last_width = width;
                            if (device->inside) device->inside();
                            return device->answer;
                          },
                          [](void* opaque, uint64_t offset, uint32_t width, uint64_t value) noexcept {
                            auto* device = static_cast<Device*>(opaque);
                            device->calls++;
                            device->last_offset = offset;
                            device->last_width = width;
                            device->last_value = value;
                            if (device->inside) device->inside();
                          }};

BusRegion* claim(AddressSpace& space, uint64_t base, uint64_t length, Device& device, const char* owner = "device 'a'",
                 uint32_t flags = 0) {
  auto region = space.claim(base, length, flags, kOps, &device, owner);
  if (!region) {
    ADD_FAILURE() << region.error().message;
    return nullptr;
  }
  return *region;
}

AddressSpace::Options of(uint32_t kind, uint32_t readers = 1) {
  AddressSpace::Options options;
  options.space = kind;
  options.readers = readers;
  return options;
}

TEST(AddressSpace, FindsTheDeviceOfAnAddress) {
  AddressSpace space(of(NACRE_SPACE_MMIO));
  Device low, high;
  high.answer = 0x1122334455667788;
  claim(space, 0x2000, 0x100, high);
  claim(space, 0x1000, 0x1000, low);
  EXPECT_EQ(space.read(0, 0x2010, 4), 0x55667788u);
  EXPECT_EQ(high.last_offset, 0x10u);
  EXPECT_EQ(space.read(0, 0x2010, 8), 0x1122334455667788u);
  space.write(0, 0x1fff, 1, 0x42);
  EXPECT_EQ(low.last_offset, 0xfffu);
  EXPECT_EQ(low.last_value, 0x42u);
}

TEST(AddressSpace, NothingReadsAsOnesAndTakesNoWrites) {
  AddressSpace space(of(NACRE_SPACE_MMIO));
  Device device;
  claim(space, 0x1000, 0x100, device);
  EXPECT_EQ(space.read(0, 0xfff, 1), 0xffu);
  EXPECT_EQ(space.read(0, 0x1100, 2), 0xffffu);
  EXPECT_EQ(space.read(0, 0x10fe, 4), 0xffffffffu);  // across the end
  EXPECT_EQ(space.read(0, 0xfff, 8), UINT64_MAX);    // across the beginning
  EXPECT_EQ(space.read(0, UINT64_MAX, 8), UINT64_MAX);
  for (uint32_t width : {0u, 3u, 5u, 6u, 7u, 9u, 16u, 0xffffffffu}) {
    space.read(0, 0x1000, width);
    space.write(0, 0x1000, width, 1);
  }
  space.write(0, 0x10ff, 2, 1);
  EXPECT_EQ(space.read(7, 0x1000, 4), 0xffffffffu);  // no such reader
  EXPECT_EQ(device.calls, 0);
}

TEST(AddressSpace, RefusesOverlapByTheOtherOwnersName) {
  AddressSpace space(of(NACRE_SPACE_MMIO));
  Device device;
  claim(space, 0x1000, 0x100, device, "device 'disk1'");
  for (auto [base, length] : {std::pair<uint64_t, uint64_t>{0x1000, 1},
                              {0x10ff, 1},
                              {0xfff, 2},
                              {0, 0x100000},
                              {0, UINT64_MAX},
                              {0x1080, UINT64_MAX - 0x1080}}) {
    auto region = space.claim(base, length, 0, kOps, &device, "device 'b'");
    ASSERT_FALSE(region);
    EXPECT_NE(region.error().message.find("device 'disk1' has part of them already"), std::string::npos)
        << region.error().message;
  }
  claim(space, 0x1100, 1, device);
  claim(space, 0xfff, 1, device);
  claim(space, UINT64_MAX, 1, device);
}

TEST(AddressSpace, RefusesImpossibleRangesAndUnknownFlags) {
  AddressSpace mmio(of(NACRE_SPACE_MMIO)), ports(of(NACRE_SPACE_PIO));
  Device device;
  EXPECT_FALSE(mmio.claim(0, 0, 0, kOps, &device, "a"));
  EXPECT_FALSE(mmio.claim(UINT64_MAX, 2, 0, kOps, &device, "a"));
  EXPECT_FALSE(mmio.claim(0, 16, 0x80, kOps, &device, "a"));
  EXPECT_TRUE(mmio.claim(0, 16, 0x10000, kOps, &device, "a"));  // a bit that may be ignored
  EXPECT_FALSE(mmio.claim(64, 16, 0, nacre_mmio_ops{}, &device, "a"));
  EXPECT_FALSE(ports.claim(0xffff, 2, 0, kOps, &device, "a"));
  EXPECT_TRUE(ports.claim(0xffff, 1, 0, kOps, &device, "a"));
}

TEST(AddressSpace, ReleasedRangesAreFreeAgain) {
  AddressSpace space(of(NACRE_SPACE_MMIO));
  Device device;
  for (int i = 0; i < 1000; ++i) {
    BusRegion* region = claim(space, 0x1000, 0x100, device);
    space.read(0, 0x1000, 4);
    space.release(region);
    space.read(0, 0x1000, 4);
  }
  EXPECT_EQ(device.calls, 1000);
  EXPECT_EQ(space.owner_of(0, UINT64_MAX), "");
}

TEST(AddressSpace, AnAccessFromInsideAnAccessIsAnsweredByNobody) {
  AddressSpace space(of(NACRE_SPACE_MMIO));
  Device device;
  uint64_t inner = 0;
  device.answer = 5;
  device.inside = [&] { inner = space.read(0, 0x1000, 4); };
  claim(space, 0x1000, 0x100, device);
  EXPECT_EQ(space.read(0, 0x1000, 4), 5u);
  EXPECT_EQ(inner, 0xffffffffu);
  EXPECT_EQ(device.calls, 1);
}

TEST(AddressSpace, SerializedRegionsLetOneInAtATime) {
  AddressSpace space(of(NACRE_SPACE_MMIO, 2));
  Device device;
  int depth = 0, deepest = 0;  // not atomic: the thread sanitizer checks the claim
  device.inside = [&] {
    deepest = std::max(deepest, ++depth);
    std::this_thread::yield();
    --depth;
  };
  claim(space, 0x1000, 0x100, device, "a", NACRE_MMIO_SERIALIZE);
  std::vector<std::thread> vcpus;
  for (uint32_t i = 0; i < 2; ++i)
    vcpus.emplace_back([&, i] {
      for (int n = 0; n < 2000; ++n) space.write(i, 0x1000, 4, 1);
    });
  for (auto& vcpu : vcpus) vcpu.join();
  EXPECT_EQ(deepest, 1);
  EXPECT_EQ(device.calls, 4000);
}

struct Guarded {
  std::atomic<bool> alive{true};
  std::atomic<uint64_t> calls{0};
  uint64_t plain = 0;  // written after release: a late call would race with it
};

TEST(AddressSpace, NoCallRunsOrComesAfterRelease) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  AddressSpace::Options options = of(NACRE_SPACE_MMIO, 3);
  options.waiter = [&](const std::function<bool()>& done) { (*loop)->run_posted_until(done); };
  options.wake = [&] { (*loop)->wake(); };
  AddressSpace space(options);
  const nacre_mmio_ops ops{sizeof ops, 0,
                           [](void* opaque, uint64_t, uint32_t) noexcept -> uint64_t {
                             auto* device = static_cast<Guarded*>(opaque);
                             EXPECT_TRUE(device->alive.load());
                             device->calls++;
                             return device->plain;
                           },
                           [](void* opaque, uint64_t, uint32_t, uint64_t) noexcept {
                             EXPECT_TRUE(static_cast<Guarded*>(opaque)->alive.load());
                             std::this_thread::yield();
                           }};
  std::atomic<bool> end{false};
  std::atomic<uint64_t> rounds{0};
  std::vector<std::thread> vcpus;
  for (uint32_t i = 0; i < 3; ++i)
    vcpus.emplace_back([&, i] {
      while (!end) {
        space.read(i, 0x1000 + i * 0x100, 4);
        space.write(i, 0x1100, 4, 7);
        rounds++;
      }
    });
  Guarded stays;
  auto fixed = space.claim(0x1200, 0x100, 0, ops, &stays, "stays");
  ASSERT_TRUE(fixed);
  uint64_t served = 0;
  for (int i = 0; i < 3000 || (rounds < 3000 && i < 300000); ++i) {
    auto device = std::make_unique<Guarded>();
    auto region = space.claim(i % 2 ? 0x1000 : 0x1100, 0x100, 0, ops, device.get(), "comes and goes");
    ASSERT_TRUE(region) << region.error().message;
    if (i % 16 == 0) std::this_thread::yield();
    space.release(*region);
    device->alive = false;
    device->plain = 1;
    served += device->calls;
  }
  end = true;
  for (auto& vcpu : vcpus) vcpu.join();
  EXPECT_GT(stays.calls + served, 0u);
}

TEST(AddressSpace, ReleaseWaitsForACallThatWaitsForTheMainLoop) {
  auto loop = EventLoop::create();
  ASSERT_TRUE(loop);
  AddressSpace::Options options = of(NACRE_SPACE_MMIO, 2);
  options.waiter = [&](const std::function<bool()>& done) { (*loop)->run_posted_until(done); };
  options.wake = [&] { (*loop)->wake(); };
  AddressSpace space(options);
  Device device;
  std::atomic<bool> inside{false}, left{false};
  bool served = false;
  device.inside = [&] {
    inside = true;
    ::usleep(2000);
    (*loop)->call([&] { served = true; });
    left = true;
  };
  BusRegion* region = claim(space, 0x1000, 0x100, device);
  std::thread vcpu([&] { space.write(1, 0x1000, 4, 1); });
  while (!inside) ::usleep(50);
  space.release(region);
  EXPECT_TRUE(left);
  EXPECT_TRUE(served);
  vcpu.join();
}

TEST(AddressSpace, TellsOfSlowCallsOnceAMinute) {
  AddressSpace::Options options = of(NACRE_SPACE_MMIO);
  std::vector<std::string> told;
  options.slow = [&](const SlowCall& call) {
    EXPECT_GE(call.nanoseconds, 3'000'000u);
    EXPECT_LT(call.nanoseconds, 3'000'000'000u);
    told.push_back(describe({call.owner, call.vcpu, call.space, call.write, call.offset, 14'200'000}));
  };
  AddressSpace space(options);
  Device device;
  claim(space, 0x1000, 0x100, device, "plugin 'org.x.foo'");
  for (int i = 0; i < 100; ++i) space.read(0, 0x1000, 4);
  EXPECT_TRUE(told.empty());
  device.inside = [] { ::usleep(3000); };
  for (int i = 0; i < 5; ++i) space.read(0, 0x1018, 4);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0],
            "plugin 'org.x.foo' held vCPU 0 for 14 ms in mmio_read(0x18); limit 1 ms. (Reported once a minute.)");
}

TEST(AddressSpace, IoeventfdsEndWithTheirRegion) {
  auto kvm = kvm::Kvm::open();
  ASSERT_TRUE(kvm) << kvm.error().message;
  auto vm = kvm::Vm::create(*kvm);
  ASSERT_TRUE(vm) << vm.error().message;
  AddressSpace::Options options = of(NACRE_SPACE_MMIO);
  options.vm = &*vm;
  AddressSpace space(options);
  Device device;
  auto descriptors = [] {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  };
  const size_t before = descriptors();
  for (int i = 0; i < 100; ++i) {
    BusRegion* region = claim(space, 0xd0000, 0x200, device);
    ASSERT_TRUE(region);
    auto first = space.ioeventfd(region, 0x50, 4, true, 0);
    auto second = space.ioeventfd(region, 0x50, 4, true, 1);
    ASSERT_TRUE(first) << first.error().message;
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_FALSE(space.ioeventfd(region, 0x50, 4, true, 1));
    space.release(region);
  }
  EXPECT_EQ(descriptors(), before);
  BusRegion* region = claim(space, 0xd0000, 0x200, device);
  EXPECT_FALSE(space.ioeventfd(region, 0x1fe, 4, false, 0));
  EXPECT_FALSE(space.ioeventfd(region, UINT64_MAX, 4, false, 0));
  EXPECT_FALSE(space.ioeventfd(region, 0, 3, false, 0));
  AddressSpace alone(of(NACRE_SPACE_MMIO));
  EXPECT_FALSE(alone.ioeventfd(claim(alone, 0, 16, device), 0, 4, false, 0));
}

}  // namespace
}  // namespace nacre
