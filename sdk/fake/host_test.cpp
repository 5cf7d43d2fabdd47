#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <nacre/fake/device.hpp>
#include <nacre/fake/vhost_user_peer.hpp>
#include <nacre/vhost_user.hpp>
#include <stdexcept>

namespace nacre::fake {
namespace {

// A table that has grown in the contract must have grown here.
TEST(FakeHost, HasEveryFunctionOfEveryStableService) {
  struct Service {
    const char* id;
    size_t size;
    bool draft;
  };
#define NACRE_SERVICE(id, type, draft) {id, sizeof(type), draft != 0},
  const Service services[] = {NACRE_EXTENSIONS(NACRE_SERVICE)};
  for (const Service& service : services) {
    const void* table = hello()->get_extension(service.id);
    ASSERT_EQ(table == nullptr, service.draft) << service.id;
    if (!table) continue;
    uint32_t size;
    std::memcpy(&size, table, sizeof size);
    EXPECT_EQ(size, service.size) << service.id;
    for (size_t at = 8; at + sizeof(void*) <= size; at += sizeof(void*)) {
      void* function;
      std::memcpy(&function, static_cast<const char*>(table) + at, sizeof function);
      EXPECT_NE(function, nullptr) << service.id << " at " << at;
    }
  }
}

TEST(FakeHost, LacksWhatItIsToldToLack) {
  EXPECT_EQ(hello({NACRE_EXT_QMP})->get_extension(NACRE_EXT_QMP), nullptr);
  EXPECT_NE(hello()->get_extension(NACRE_EXT_QMP), nullptr);
  EXPECT_EQ(hello()->get_extension("org.example.none/1"), nullptr);
}

TEST(FakeLoop, LetsTimePassAtOnce) {
  nacre_loop loop;
  int expired = 0;
  nacre_timer* timer = loop.timer([](void* count) noexcept { ++*static_cast<int*>(count); }, &expired);
  const uint64_t hour = 3'600'000'000'000;
  timer->at = loop.now() + hour;
  loop.advance(std::chrono::minutes(59));
  EXPECT_EQ(expired, 0);
  loop.advance(std::chrono::minutes(1));
  EXPECT_EQ(expired, 1);
  loop.destroy(timer);
}

TEST(VhostUserPeer, AgreesAndEndsWithItsThread) {
  VhostUserPeer peer;
  sdk::VhostUser device(peer.take_socket());
  ASSERT_TRUE(device);
  EXPECT_EQ(peer.take_socket(), -1);
  const sdk::Status begun = device.begin();
  ASSERT_TRUE(begun) << begun.error().message;
  EXPECT_EQ(device.features() >> 32, 1u);
  EXPECT_EQ(device.max_queues(), 256u);
  // What it does not know, it does not take: the number of a ring that cannot be.
  EXPECT_FALSE(device.stop_ring(256));
  EXPECT_FALSE(device.alive());
}

// What a real host refuses, this one refuses too.
TEST(FakePci, RefusesWhatCannotBe) {
  Memory memory;
  nacre_loop loop;
  nacre_instance instance(memory, loop, "pci");
  const auto& table = *static_cast<const nacre_pci_v1*>(hello()->get_extension(NACRE_EXT_PCI));
  nacre_pci_desc desc{};
  desc.size = sizeof desc;
  desc.vendor_id = 0x1234;
  nacre_pci* pci = nullptr;
  ASSERT_EQ(table.attach(&instance, &desc, nullptr, &pci, nullptr), NACRE_OK);
  EXPECT_NE(table.attach(&instance, &desc, nullptr, &pci, nullptr), NACRE_OK);
  nacre_pci_bar bar{sizeof bar, 0, NACRE_PCI_BAR_MEMORY64, 0, 0x1800, nullptr, nullptr};
  EXPECT_NE(table.bar(pci, &bar, nullptr), NACRE_OK);
  bar.length = 0x1000;
  EXPECT_EQ(table.bar(pci, &bar, nullptr), NACRE_OK);
  EXPECT_NE(table.msix(pci, 1, 4, nullptr), NACRE_OK);  // the upper half of BAR 0
  EXPECT_NE(table.msix(pci, 2, 4096, nullptr), NACRE_OK);
  EXPECT_EQ(table.msix(pci, 2, 4, nullptr), NACRE_OK);
  nacre_pci_capability capability{};
  capability.size = sizeof capability;
  capability.kind = NACRE_PCI_CAPABILITY;
  capability.id = 9;
  capability.length = 16;
  capability.offset = pci->msix_at;
  EXPECT_NE(table.capability(pci, &capability, nullptr, nullptr), NACRE_OK);
  capability.offset = 0;
  uint32_t at = 0;
  EXPECT_EQ(table.capability(pci, &capability, &at, nullptr), NACRE_OK);
  EXPECT_EQ(pci->read_config(pci->msix_at + 1, 1), at);
  int32_t fd = -1;
  EXPECT_NE(table.bar_event(pci, 0, 0xfff, 4, 0, 0, &fd, nullptr), NACRE_OK);
  ASSERT_EQ(table.bar_event(pci, 0, 8, 4, 0, 0, &fd, nullptr), NACRE_OK);
  pci->write(0, 8, 4, 1);
  uint64_t count = 0;
  EXPECT_EQ(::read(fd, &count, sizeof count), 8);
  EXPECT_NE(table.vector_fd(pci, 4, &fd, nullptr), NACRE_OK);
  EXPECT_EQ(instance.held(), "1 PCI functions");
  table.detach(pci);
  EXPECT_EQ(instance.held(), "");
}

TEST(FakeDevice, SaysWhyItCannotBeMade) {
  auto refused = [](const std::string& file) -> std::string {
    try {
      Device device(file, "any");
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refused("/nonexistent.so").find("/nonexistent.so: cannot open"), std::string::npos);
  EXPECT_NE(refused("libc.so.6").find("it is not a plugin of this SDK"), std::string::npos);
}

}  // namespace
}  // namespace nacre::fake
