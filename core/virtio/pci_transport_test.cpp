#include "core/virtio/pci_transport.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <optional>
#include <random>
#include <thread>

#include "core/bus/pci/test_pci.hpp"
#include "core/kvm/kvm.hpp"
#include "core/kvm/vm.hpp"
#include "core/virtio/recorder.hpp"

namespace nacre::virtio {
namespace {

using pci::ConfigSpace;

constexpr uint32_t kDevfn = 4 << 3;
constexpr uint64_t kMsix = 0xc0000000, kBar = 0xc0010000;
constexpr uint64_t kCommonAt = kBar, kIsrAt = kBar + 0x1000, kConfigAt = kBar + 0x2000, kNotifyAt = kBar + 0x3000;

class PciTransportTest : public pci::PciTest {
 protected:
  explicit PciTransportTest(kvm::Vm* vm = nullptr) : PciTest(vm) {
    ram_ = std::move(*GuestMemory::create(1 << 20, {}));
    EXPECT_TRUE(ram_->place(0, 1 << 20));
    device_ = recorder_.make(*loop_);
    transport_ = std::move(*PciTransport::create(*host_, *ram_, *device_));
    transport_->plug(host_->root(), kDevfn);
    write(0, kDevfn, pci::kBar0 + 4, 4, kMsix);
    write(0, kDevfn, pci::kBar0 + 8, 4, kBar);
    write(0, kDevfn, pci::kCommand, 2, pci::kMemoryDecode | pci::kBusMaster);
  }

  uint64_t get(uint32_t reg, uint32_t width) { return memory_->read(0, kCommonAt + reg, width); }
  void put(uint32_t reg, uint32_t width, uint64_t value) { memory_->write(0, kCommonAt + reg, width, value); }
  uint64_t status() { return get(0x14, 1); }
  void negotiate(uint64_t features = 1ull << kFeatureVersion1) {
    put(0x14, 1, 1);
    put(0x14, 1, 3);
    put(8, 4, 0);
    put(12, 4, features & UINT32_MAX);
    put(8, 4, 1);
    put(12, 4, features >> 32);
    put(0x14, 1, 11);
  }
  void set_queue(uint32_t index, uint32_t vector = PciTransport::kNoVector) {
    put(0x16, 2, index);
    put(0x1a, 2, vector);
    put(0x20, 4, 0x1000);
    put(0x28, 8, 0x4000);
    put(0x30, 4, 0x5000);
    put(0x34, 4, 0);
    put(0x1c, 2, 1);
  }
  // Message `vector` has the data 0x40 + vector.
  void enable_msix() {
    const uint32_t at = transport_->function().config().find_capability(0x11);
    write(0, kDevfn, at + 2, 2, 1 << 15);
    for (uint32_t i = 0; i < 3; ++i) {
      memory_->write(0, kMsix + 16 * i, 8, 0xfee00000);
      memory_->write(0, kMsix + 16 * i + 8, 4, 0x40 + i);
      memory_->write(0, kMsix + 16 * i + 12, 4, 0);
    }
  }
  void raise(uint32_t queue) {
    const nacre_virtqueue& q = recorder_.queues[queue];
    q.interrupt(q.interrupt_opaque);
  }
  bool line() { return host_->lines().level(0); }

  std::unique_ptr<GuestMemory> ram_;
  Recorder recorder_;
  std::unique_ptr<VirtioDevice> device_;
  std::unique_ptr<PciTransport> transport_;
};

TEST_F(PciTransportTest, DescribesItself) {
  EXPECT_EQ(read(0, kDevfn, 0, 4), 0x10421af4u);
  EXPECT_EQ(read(0, kDevfn, 8, 4), 0x01000001u);
  EXPECT_EQ(read(0, kDevfn, pci::kInterruptPin, 1), 1u);
  // The capabilities as a driver walks them: type, BAR, offset, length.
  std::map<uint64_t, std::array<uint64_t, 3>> parts;
  uint64_t multiplier = 0;
  for (auto at = static_cast<uint32_t>(read(0, kDevfn, pci::kCapabilities, 1)); at;
       at = static_cast<uint32_t>(read(0, kDevfn, at + 1, 1))) {
    if (read(0, kDevfn, at, 1) != 9) continue;
    const uint64_t type = read(0, kDevfn, at + 3, 1);
    parts[type] = {read(0, kDevfn, at + 4, 1), read(0, kDevfn, at + 8, 4), read(0, kDevfn, at + 12, 4)};
    if (type == 2) multiplier = read(0, kDevfn, at + 16, 4);
  }
  EXPECT_EQ(parts[1], (std::array<uint64_t, 3>{2, 0, 0x1000}));
  EXPECT_EQ(parts[2], (std::array<uint64_t, 3>{2, 0x3000, 0x1000}));
  EXPECT_EQ(parts[3], (std::array<uint64_t, 3>{2, 0x1000, 0x1000}));
  EXPECT_EQ(parts[4], (std::array<uint64_t, 3>{2, 0x2000, 0x1000}));
  EXPECT_TRUE(parts.contains(5));
  EXPECT_EQ(multiplier, 4u);
  const uint32_t express = transport_->function().config().find_capability(0x10);
  EXPECT_EQ(read(0, kDevfn, express + 2, 2), 2u);  // version 2, an endpoint
  const uint32_t msix = transport_->function().config().find_capability(0x11);
  EXPECT_EQ(read(0, kDevfn, msix + 2, 2), 2u);  // three vectors
}

TEST_F(PciTransportTest, ShowsTheDevice) {
  EXPECT_EQ(get(0x12, 2), 2u);
  EXPECT_EQ(get(4, 4), 5u);
  put(0, 4, 1);
  EXPECT_EQ(get(4, 4), 1u);
  put(0, 4, 2);
  EXPECT_EQ(get(4, 4), 0u);
  EXPECT_EQ(get(0x18, 2), 256u);
  EXPECT_EQ(get(0x1e, 2), 0u);
  put(0x16, 2, 1);
  EXPECT_EQ(get(0x18, 2), 64u);
  EXPECT_EQ(get(0x1e, 2), 1u);
  put(0x16, 2, 2);
  EXPECT_EQ(get(0x18, 2), 0u);
  EXPECT_EQ(get(0x18, 4), 0u);  // not its width
  EXPECT_EQ(memory_->read(0, kConfigAt, 8), 0x0807060504030201u);
  EXPECT_EQ(memory_->read(0, kConfigAt + 0x800, 4), 0u);
}

TEST_F(PciTransportTest, HandsOverTheQueuesOnDriverOk) {
  negotiate(1ull << 32 | 0xff);
  EXPECT_EQ(status(), 11u);
  set_queue(1);
  put(0x14, 1, 15);
  ASSERT_EQ(recorder_.activations, 1);
  EXPECT_EQ(recorder_.features, (1ull << 32 | 5));
  ASSERT_EQ(recorder_.queues.size(), 2u);
  EXPECT_EQ(recorder_.queues[0].ready, 0);
  EXPECT_EQ(recorder_.queues[1].num, 64);  // the greatest size, unless the driver says otherwise
  EXPECT_EQ(recorder_.queues[1].avail, 0x4000u);
  EXPECT_EQ(recorder_.queues[1].used, 0x5000u);
  // Nothing of a live queue can be changed.
  put(0x1c, 2, 0);
  EXPECT_EQ(get(0x1c, 2), 1u);
  uint64_t count;
  ASSERT_EQ(::read(transport_->kick_fd(1), &count, 8), 8);
  memory_->write(0, kNotifyAt + 4, 2, 1);
  EXPECT_TRUE(signalled(transport_->kick_fd(1)));
  memory_->write(0, kNotifyAt + 0x800, 2, 1);  // no such queue
  put(0x14, 1, 0);
  EXPECT_EQ(recorder_.resets, 1);
  EXPECT_EQ(status(), 0u);
  EXPECT_EQ(get(0x1c, 2), 0u);
}

TEST_F(PciTransportTest, RefusesStatusOutOfOrder) {
  set_queue(0);  // before the features
  EXPECT_EQ(get(0x1c, 2), 0u);
  put(0x14, 1, 15);
  EXPECT_EQ(recorder_.activations, 0);
  put(0x14, 1, 0);
  negotiate(0);
  EXPECT_EQ(status(), 3u);
  // What is written reads back, though a step was left out; the device stays inactive.
  for (uint64_t step : {7, 15}) {
    put(0x14, 1, step);
    EXPECT_EQ(status(), 7u);
  }
  put(0x14, 1, 0);
  put(0x14, 1, 2);
  put(8, 4, 1);
  put(0xc, 4, 1);
  for (uint64_t step : {10, 14}) {
    put(0x14, 1, step);
    EXPECT_EQ(status(), step);
  }
  EXPECT_EQ(recorder_.activations, 0);
}

TEST_F(PciTransportTest, DropsWhatIsNotOfferedAtOnce) {
  put(0x14, 1, 3);
  put(0xc, 4, UINT32_MAX);
  EXPECT_EQ(get(0xc, 4), get(4, 4));
  put(8, 4, 1);
  put(0xc, 4, UINT32_MAX);
  EXPECT_EQ(get(0xc, 4), 1u);
}

TEST_F(PciTransportTest, TakesWideRegistersByParts) {
  put(0, 1, 5);
  put(1, 1, 2);
  EXPECT_EQ(get(0, 4), 0x205u);
  EXPECT_EQ(get(0, 2), 0x205u);
  EXPECT_EQ(get(1, 1), 2u);
  put(2, 2, 0x1234);
  EXPECT_EQ(get(0, 4), 0x12340205u);
  EXPECT_EQ(get(3, 2), 0u);  // across the end
}

TEST_F(PciTransportTest, BeginsAtGeneration0AfterAReset) {
  negotiate();
  const uint8_t byte = 9;
  transport_->set_config(0, &byte, 1, false);
  EXPECT_NE(get(0x15, 1), 0u);
  put(0x14, 1, 0);
  EXPECT_EQ(get(0x15, 1), 0u);
}

TEST_F(PciTransportTest, InterruptsByMessages) {
  enable_msix();
  negotiate();
  put(0x10, 2, 2);
  EXPECT_EQ(get(0x10, 2), 2u);
  put(0x16, 2, 0);
  put(0x1a, 2, 3);
  EXPECT_EQ(get(0x1a, 2), 0xffffu);  // no such vector
  set_queue(0, 1);
  put(0x14, 1, 15);
  ASSERT_EQ(recorder_.activations, 1);
  raise(0);
  EXPECT_EQ(listener_.sent, (std::vector<pci::Listener::Message>{{0xfee00000, 0x41}}));
  EXPECT_FALSE(line());
  EXPECT_EQ(memory_->read(0, kIsrAt, 1), 0u);
  // Its eventfd is tied to the same vector.
  const int call = recorder_.queues[0].call_fd;
  ASSERT_TRUE(listener_.attached.contains(call));
  EXPECT_EQ(listener_.routes.at(listener_.attached.at(call)).data, 0x41u);
  const uint8_t byte = 9;
  device_->set_config(0, &byte, 1, true);
  ASSERT_EQ(listener_.sent.size(), 2u);
  EXPECT_EQ(listener_.sent[1].data, 0x42u);
  put(0x14, 1, 0);
  EXPECT_EQ(get(0x10, 2), 0xffffu);
  EXPECT_TRUE(listener_.attached.empty());
}

TEST_F(PciTransportTest, InterruptsByTheLine) {
  negotiate();
  set_queue(0);
  put(0x14, 1, 15);
  raise(0);
  EXPECT_TRUE(line());
  EXPECT_EQ(memory_->read(0, kIsrAt, 1), 1u);
  EXPECT_FALSE(line());
  EXPECT_EQ(memory_->read(0, kIsrAt, 1), 0u);
  const uint64_t generation = get(0x15, 1);
  const uint8_t byte = 9;
  device_->set_config(0, &byte, 1, true);
  EXPECT_NE(get(0x15, 1), generation);
  EXPECT_EQ(memory_->read(0, kIsrAt, 1), 2u);
  // What another process signals by the eventfd comes by the loop.
  const uint64_t one = 1;
  ASSERT_EQ(::write(recorder_.queues[0].call_fd, &one, 8), 8);
  Timer* timer = loop_->timer([&] { loop_->stop(); });
  loop_->arm(timer, 20'000'000);
  loop_->run();
  EXPECT_TRUE(line());
  put(0x14, 1, 0);
  EXPECT_FALSE(line());
  loop_->destroy(timer);
}

TEST_F(PciTransportTest, AsksForResetWhenAQueueIsWrong) {
  negotiate();
  put(0x16, 2, 0);
  put(0x18, 2, 100);  // not a power of two
  set_queue(0);
  put(0x14, 1, 15);
  EXPECT_EQ(recorder_.activations, 0);
  EXPECT_TRUE(status() & 64);
  EXPECT_EQ(memory_->read(0, kIsrAt, 1) & 2, 2u);
}

// §4.1.4.9: what has no way to the BAR goes through the configuration space.
TEST_F(PciTransportTest, IsReachedThroughItsCapability) {
  uint32_t at = 0;
  for (at = static_cast<uint32_t>(read(0, kDevfn, pci::kCapabilities, 1)); at;
       at = static_cast<uint32_t>(read(0, kDevfn, at + 1, 1)))
    if (read(0, kDevfn, at, 1) == 9 && read(0, kDevfn, at + 3, 1) == 5) break;
  ASSERT_TRUE(at);
  auto point = [&](uint32_t bar, uint32_t offset, uint32_t length) {
    write(0, kDevfn, at + 4, 1, bar);
    write(0, kDevfn, at + 8, 4, offset);
    write(0, kDevfn, at + 12, 4, length);
  };
  write(0, kDevfn, pci::kCommand, 2, 0);  // BARs off
  point(2, 0x2000, 4);
  EXPECT_EQ(read(0, kDevfn, at + 16, 4), 0x04030201u);
  point(2, 0x14, 1);
  write(0, kDevfn, at + 16, 1, 1);
  EXPECT_EQ(read(0, kDevfn, at + 16, 4), 1u);
  EXPECT_EQ(transport_->read(0x14, 1), 1u);
  for (auto [bar, offset, length] :
       {std::array{2u, 1u, 2u}, std::array{2u, 0x4000u, 4u}, std::array{3u, 0u, 4u}, std::array{2u, 0u, 8u}}) {
    point(bar, offset, length);
    read(0, kDevfn, at + 16, 4);
    write(0, kDevfn, at + 16, 4, 0);
  }
  EXPECT_EQ(transport_->read(0x14, 1), 1u);
}

TEST_F(PciTransportTest, AHostResetResetsIt) {
  enable_msix();
  negotiate();
  set_queue(0, 1);
  put(0x14, 1, 15);
  host_->reset();
  EXPECT_EQ(recorder_.resets, 1);
  EXPECT_EQ(memory_->owner_of(kBar, 1), "");
  EXPECT_EQ(transport_->read(0x14, 1), 0u);
  EXPECT_FALSE(transport_->function().msix()->enabled());
}

TEST_F(PciTransportTest, UnplugsWhileItWorks) {
  enable_msix();
  negotiate();
  set_queue(0, 1);
  put(0x14, 1, 15);
  transport_->unplug();
  EXPECT_EQ(recorder_.resets, 1);
  EXPECT_EQ(read(0, kDevfn, 0, 4), 0xffffffffu);
  EXPECT_EQ(memory_->read(0, kCommonAt, 4), 0xffffffffu);
  EXPECT_TRUE(listener_.attached.empty());
}

// The same on a machine of KVM's, where a notification makes no exit.
struct EmptyVm {
  EmptyVm() {
    auto kvm = kvm::Kvm::open();
    EXPECT_TRUE(kvm) << kvm.error().message;
    if (auto made = kvm::Vm::create(*kvm)) vm.emplace(std::move(*made));
    fd = Fd(::eventfd(0, EFD_CLOEXEC));
  }
  // Whether a write to this address has an eventfd: KVM takes no second one.
  bool tied(uint64_t address) {
    if (!vm->add_ioeventfd({.address = address}, fd.get())) return true;
    EXPECT_TRUE(vm->remove_ioeventfd({.address = address}, fd.get()));
    return false;
  }
  // As many of the queues from the first one.
  int tied_queues(uint64_t notify) { return !tied(notify) ? 0 : !tied(notify + 4) ? 1 : !tied(notify + 8) ? 2 : 3; }
  std::optional<kvm::Vm> vm;
  Fd fd;
};
class PciTransportOnKvm : protected EmptyVm, public PciTransportTest {
 protected:
  PciTransportOnKvm() : PciTransportTest(&*vm) {}
};

TEST_F(PciTransportOnKvm, NotificationsHaveAnEventfdAQueueWhereTheBarIs) {
  enable_msix();
  negotiate();
  set_queue(0, 1);
  set_queue(1, 2);
  EXPECT_EQ(tied_queues(kNotifyAt), 0);
  put(0x14, 1, 15);
  ASSERT_EQ(recorder_.activations, 1);
  EXPECT_EQ(tied_queues(kNotifyAt), 2);
  write(0, kDevfn, pci::kBar0 + 8, 4, kBar + 0x10000);
  EXPECT_EQ(tied_queues(kNotifyAt), 0);
  EXPECT_EQ(tied_queues(kNotifyAt + 0x10000), 2);
  write(0, kDevfn, pci::kCommand, 2, pci::kBusMaster);
  EXPECT_EQ(tied_queues(kNotifyAt + 0x10000), 0);
  write(0, kDevfn, pci::kCommand, 2, pci::kMemoryDecode | pci::kBusMaster);
  EXPECT_EQ(tied_queues(kNotifyAt + 0x10000), 2);
  transport_->unplug();
  EXPECT_EQ(tied_queues(kNotifyAt + 0x10000), 0);
}

// A vCPU maps and activates while the main thread serves its posts.
TEST_F(PciTransportTest, WorksFromAnotherThread) {
  std::atomic<bool> done{false};
  std::thread vcpu([&] {
    negotiate();
    set_queue(0);
    put(0x14, 1, 15);
    write(0, kDevfn, pci::kBar0 + 8, 4, kBar + 0x10000);
    memory_->write(0, kNotifyAt + 0x10000, 2, 0);
    done = true;
    loop_->wake();
  });
  loop_->run_posted_until([&] { return done.load(); });
  vcpu.join();
  EXPECT_EQ(recorder_.activations, 1);
  EXPECT_EQ(transport_->read(0x14, 1), 15u);
  EXPECT_EQ(memory_->owner_of(kBar, 1), "");
}

TEST_F(PciTransportTest, SurvivesGarbage) {
  std::mt19937 random(5);
  for (int i = 0; i < 100000; ++i) {
    const uint32_t width = 1u << random() % 4;
    const uint64_t value = random() % 4 ? random() % 16 : uint64_t{random()} << 32 | random();
    const uint64_t base = random() % 8 ? kBar : kMsix;
    const uint64_t offset = random() % 3 ? random() % 0x40 : random() % 0x4000;
    if (random() % 8)
      memory_->write(0, base + offset, width, value);
    else
      memory_->read(0, base + offset, width);
  }
  put(0x14, 1, 0);
  negotiate();
  set_queue(0);
  put(0x14, 1, 15);
  EXPECT_EQ(status(), 15u);
}

}  // namespace
}  // namespace nacre::virtio
