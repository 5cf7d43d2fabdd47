// A PCI host on two empty address spaces, and functions to put below it. For tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "core/bus/pci/host.hpp"

namespace nacre::pci {

// Writes down what is sent, and which eventfds are tied to what.
class Listener : public MessageSender {
 public:
  struct Message {
    uint64_t address;
    uint32_t data;
    bool operator==(const Message&) const = default;
  };
  enum class Refusal { None, Route, Commit, Attach };
  void send(uint64_t address, uint32_t data) override { sent.push_back({address, data}); }
  int allocate() override { return refused == Refusal::Route ? -1 : next++; }
  void free(int route) override { routes.erase(route); }
  void route(int route, uint64_t address, uint32_t data) override { routes[route] = {address, data}; }
  Status commit() override {
    ++commits;
    return answer(Refusal::Commit);
  }
  Status attach(int route, int fd) override {
    if (Status taken = answer(Refusal::Attach); !taken) return taken;
    attached[fd] = route;
    return {};
  }
  void detach(int, int fd) override { attached.erase(fd); }

  std::vector<Message> sent;
  std::map<int, Message> routes;
  std::map<int, int> attached;  // route by fd
  int next = 24;
  int commits = 0;
  Refusal refused = Refusal::None;

 private:
  Status answer(Refusal to) const {
    if (refused == to) return fail("the host is full");
    return {};
  }
};

// One register of 8 bytes, repeated over the range.
struct Cell {
  uint64_t value = 0;
  uint64_t last_offset = ~0ull;

  static uint64_t read(void* self, uint64_t offset, uint32_t) noexcept {
    auto& cell = *static_cast<Cell*>(self);
    cell.last_offset = offset;
    return cell.value;
  }
  static void write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    auto& cell = *static_cast<Cell*>(self);
    cell.last_offset = offset;
    cell.value = value;
  }
  static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, read, write};
};

class PciTest : public testing::Test {
 protected:
  static constexpr uint64_t kEcam = 0xb0000000, kMemory = 0xc0000000, kMemoryBytes = 0x30000000;
  static constexpr uint64_t kHigh = 0x800000000, kHighBytes = 0x100000000;

  explicit PciTest(kvm::Vm* vm = nullptr) {
    loop_ = std::move(*EventLoop::create());
    AddressSpace::Options options;
    options.readers = 2;
    memory_ = std::make_unique<AddressSpace>(options);
    options.space = NACRE_SPACE_PIO;
    ports_ = std::make_unique<AddressSpace>(options);
    HostLayout layout;
    layout.ecam_base = kEcam;
    layout.ecam_buses = 256;
    layout.memory32 = {kMemory, kMemoryBytes};
    layout.memory64 = {kHigh, kHighBytes};
    layout.io = {0x1000, 0xe000};
    layout.first_gsi = 16;
    layout.config_ports = true;
    layout.other_ports = Cell::kOps;
    layout.other_ports_opaque = &reset_port_;
    host_ = std::move(*PciHost::create({*memory_, *ports_, *loop_, vm, &listener_}, layout));
  }

  // By ECAM.
  uint64_t read(uint32_t bus, uint32_t devfn, uint32_t offset, uint32_t width) {
    return memory_->read(0, kEcam + (bus << 20 | devfn << 12 | offset), width);
  }
  void write(uint32_t bus, uint32_t devfn, uint32_t offset, uint32_t width, uint64_t value) {
    memory_->write(0, kEcam + (bus << 20 | devfn << 12 | offset), width, value);
  }
  // By ports.
  uint64_t port_read(uint32_t bus, uint32_t devfn, uint32_t offset, uint32_t width) {
    ports_->write(0, 0xcf8, 4, 1u << 31 | bus << 16 | devfn << 8 | (offset & 0xfc));
    return ports_->read(0, 0xcfc + (offset & 3), width);
  }
  void serve_posts() {
    loop_->stop();
    loop_->run();
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<AddressSpace> memory_, ports_;
  Listener listener_;
  Cell reset_port_;
  std::unique_ptr<PciHost> host_;
};

}  // namespace nacre::pci
