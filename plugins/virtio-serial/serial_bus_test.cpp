// The device with everything around it made up: rings in a buffer, a back end of strings, a loop that only remembers.
#include "serial_bus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "port.hpp"

struct nacre_chardev {
  nacre_chardev_events events;
  void* opaque;
};

namespace nacre::virtio_serial {
namespace {

constexpr size_t kMemory = 1 << 20;
constexpr uint32_t kPorts = 4;

// What the host would know.
struct World {
  alignas(4096) uint8_t memory[kMemory];
  nacre_memory_region region{0, kMemory, memory, 0, -1, 0};
  nacre_memory_view view{sizeof(nacre_memory_view), 1, sizeof(nacre_memory_region), 0, 1, &region};
  const nacre_virtio_ops* ops = nullptr;
  void* self = nullptr;
  std::string reset_reason;
  std::map<int, std::pair<nacre_callback, void*>> watches;
  std::map<const void*, std::map<std::string, std::string>> properties;
  std::string input, output;  // of the back end
  size_t room = 1 << 30;      // how much output it takes
};
World* world;

const nacre_virtio_v1 kVirtio{
    sizeof(nacre_virtio_v1),
    0,
    [](nacre_instance*, const nacre_virtio_desc* desc, void* self, nacre_virtio** virtio, nacre_error*) noexcept {
      world->ops = desc->ops;
      world->self = self;
      *virtio = reinterpret_cast<nacre_virtio*>(world);
      return nacre_status{NACRE_OK};
    },
    [](nacre_virtio*) noexcept {},
    [](nacre_virtio*, uint32_t, const void*, uint32_t, uint8_t) noexcept {},
    [](nacre_virtio*, const char* reason) noexcept { world->reset_reason = reason; }};

const nacre_memory_v1 kMemoryTable{sizeof(nacre_memory_v1),
                                   0,
                                   [](nacre_instance*) noexcept -> const nacre_memory_view* { return &world->view; },
                                   [](nacre_instance*, const nacre_memory_view*) noexcept {},
                                   nullptr,
                                   nullptr,
                                   nullptr,
                                   nullptr};

const nacre_loop_v1 kLoop{
    sizeof(nacre_loop_v1),
    0,
    [](nacre_instance*) noexcept -> nacre_loop* { return nullptr; },
    nullptr,
    [](nacre_loop*, int32_t fd, uint32_t, nacre_callback ready, void* opaque, nacre_watch** watch,
       nacre_error*) noexcept {
      world->watches[fd] = {ready, opaque};
      *watch = reinterpret_cast<nacre_watch*>(static_cast<intptr_t>(fd));
      return nacre_status{NACRE_OK};
    },
    [](nacre_watch* watch) noexcept { world->watches.erase(static_cast<int>(reinterpret_cast<intptr_t>(watch))); },
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    nullptr};

const nacre_props_v1 kProps{sizeof(nacre_props_v1), 0, nullptr,
                            [](nacre_instance* instance, const char* name, uint64_t* value) noexcept {
                              auto& own = world->properties[instance];
                              if (!own.count(name)) return nacre_status{NACRE_NOT_FOUND};
                              *value = std::stoull(own[name]);
                              return nacre_status{NACRE_OK};
                            },
                            [](nacre_instance* instance, const char* name, const char** value) noexcept {
                              auto& own = world->properties[instance];
                              if (!own.count(name)) return nacre_status{NACRE_NOT_FOUND};
                              *value = own[name].c_str();
                              return nacre_status{NACRE_OK};
                            }};

const nacre_chardev_v1 kChardev{sizeof(nacre_chardev_v1),
                                0,
                                [](nacre_instance*, const char*, const nacre_chardev_events* events, void* opaque,
                                   nacre_chardev** chardev, nacre_error*) noexcept {
                                  *chardev = new nacre_chardev{*events, opaque};
                                  return nacre_status{NACRE_OK};
                                },
                                [](nacre_chardev* chardev) noexcept { delete chardev; },
                                [](nacre_chardev*, void* data, uint32_t length) noexcept {
                                  const size_t n = std::min<size_t>(length, world->input.size());
                                  std::memcpy(data, world->input.data(), n);
                                  world->input.erase(0, n);
                                  return static_cast<uint32_t>(n);
                                },
                                [](nacre_chardev*, const void* data, uint32_t length) noexcept {
                                  const size_t n = std::min<size_t>(length, world->room);
                                  world->output.append(static_cast<const char*>(data), n);
                                  world->room -= n;
                                  return static_cast<uint32_t>(n);
                                },
                                nullptr};

// The driver's side of one queue, of 8 entries, each with a buffer of 64 bytes of its own.
class DriverQueue {
 public:
  static constexpr uint16_t kEntries = 8;
  static constexpr uint32_t kBuffer = 64;

  explicit DriverQueue(uint32_t index) : base_(index * 0x4000 + 0x1000) {
    raw_.size = sizeof raw_;
    raw_.index = static_cast<uint16_t>(index);
    raw_.num = kEntries;
    raw_.desc = base_;
    raw_.avail = base_ + 0x400;
    raw_.used = base_ + 0x800;
    raw_.kick_fd = ::eventfd(0, EFD_NONBLOCK);
    raw_.interrupt = [](void* self) noexcept { ++static_cast<DriverQueue*>(self)->interrupts; };
    raw_.interrupt_opaque = this;
    raw_.ready = 1;
  }
  ~DriverQueue() { ::close(raw_.kick_fd); }
  DriverQueue(const DriverQueue&) = delete;

  const nacre_virtqueue& raw() const { return raw_; }
  // Makes a buffer available; returns its descriptor.
  uint16_t give(bool device_writes, const std::string& text = {}, uint64_t address = 0, uint32_t length = kBuffer) {
    const uint16_t i = next_++ % kEntries;
    if (!device_writes && !address) length = static_cast<uint32_t>(text.size());
    if (!address) address = buffer(i);
    std::memcpy(at(buffer(i)), text.data(), std::min<size_t>(text.size(), kBuffer));
    auto* desc = at(raw_.desc + 16ull * i);
    const uint16_t flags = device_writes ? 2 : 0;
    std::memcpy(desc, &address, 8);
    std::memcpy(desc + 8, &length, 4);
    std::memcpy(desc + 12, &flags, 2);
    auto* avail = reinterpret_cast<uint16_t*>(at(raw_.avail));
    avail[2 + avail[1] % kEntries] = i;
    ++avail[1];
    return i;
  }
  void claim(uint16_t avail_index) { reinterpret_cast<uint16_t*>(at(raw_.avail))[1] = avail_index; }
  void kick() {
    auto found = world->watches.find(raw_.kick_fd);
    if (found != world->watches.end()) found->second.first(found->second.second);
  }
  uint16_t used() const { return reinterpret_cast<uint16_t*>(at(raw_.used))[1]; }
  // What the device has written into the buffer of its n-th used element.
  std::string got(uint16_t n) const {
    uint32_t element[2];
    std::memcpy(element, at(raw_.used + 4 + 8ull * (n % kEntries)), sizeof element);
    return {reinterpret_cast<char*>(at(buffer(element[0]))), element[1]};
  }
  int interrupts = 0;

 private:
  static uint8_t* at(uint64_t address) { return world->memory + address; }
  uint64_t buffer(uint32_t i) const { return base_ + 0x1000 + 0x100 * i; }

  const uint64_t base_;
  nacre_virtqueue raw_{};
  uint32_t next_ = 0;
};

class SerialBusTest : public ::testing::Test {
 protected:
  SerialBusTest() : world_(new World()) {
    world = world_.get();
    sdk::host.virtio = &kVirtio;
    sdk::host.memory = &kMemoryTable;
    sdk::host.loop = &kLoop;
    sdk::host.props = &kProps;
    sdk::host.chardev = &kChardev;
    world->properties[instance(0)] = {{"max-ports", std::to_string(kPorts)}};
    world->properties[instance(1)] = {{"id", "chan"}, {"chardev", "c"}};
    bus_ = std::make_unique<SerialBus>(instance(0));
    EXPECT_TRUE(bus_->realize(nullptr));
    port_ = std::make_unique<SerialPort>(instance(1));
    EXPECT_TRUE(port_->realize(nullptr));
    for (uint32_t i = 0; i < queue_count(kPorts); ++i) queues_.push_back(std::make_unique<DriverQueue>(i));
    activate();
  }
  ~SerialBusTest() override {
    world->ops->reset(world->self);
    if (port_) port_->unrealize();
    bus_->unrealize();
  }

  nacre_instance* instance(int n) { return reinterpret_cast<nacre_instance*>(&instances_[n]); }
  void activate() {
    std::vector<nacre_virtqueue> raw;
    for (auto& queue : queues_) raw.push_back(queue->raw());
    nacre_virtio_activation activation{
        sizeof activation, static_cast<uint32_t>(raw.size()), sizeof(nacre_virtqueue), 0, 1u << kMultiport, raw.data()};
    ASSERT_EQ(world->ops->activate(world->self, &activation, nullptr), NACRE_OK);
  }
  void say(uint32_t id, uint16_t event, uint16_t value) {
    const ControlMessage message{id, event, value};
    control_out().give(false, std::string(reinterpret_cast<const char*>(&message), sizeof message));
    control_out().kick();
  }
  void open() {
    say(0, kDeviceReady, 1);
    say(1, kPortReady, 1);
    say(1, kPortOpen, 1);
  }
  DriverQueue& control_in() { return *queues_[kControlReceive]; }
  DriverQueue& control_out() { return *queues_[kControlTransmit]; }
  DriverQueue& receive() { return *queues_[receive_queue(1)]; }
  DriverQueue& transmit() { return *queues_[transmit_queue(1)]; }

  std::unique_ptr<World> world_;
  char instances_[2] = {};
  std::unique_ptr<SerialBus> bus_;
  std::unique_ptr<SerialPort> port_;
  std::vector<std::unique_ptr<DriverQueue>> queues_;
};

// So many times "x", and then the text.
std::string filled(size_t n, const char* text) {
  std::string all(n, 'x');
  all.append(text);
  return all;
}

std::string bytes(const ControlMessage& message, const std::string& name = "") {
  return std::string(reinterpret_cast<const char*>(&message), sizeof message) + name;
}

TEST_F(SerialBusTest, ThereIsOne) {
  SerialBus second(instance(0));
  EXPECT_EQ(second.realize(nullptr).error().message, "Only one virtio serial device is supported");
  EXPECT_EQ(SerialBus::current(), bus_.get());
}

TEST_F(SerialBusTest, TellsTheDriverWhenItHasBuffers) {
  say(0, kDeviceReady, 1);
  say(1, kPortReady, 1);
  EXPECT_EQ(control_out().used(), 2);
  EXPECT_EQ(control_in().used(), 0);
  for (int i = 0; i < 3; ++i) control_in().give(true);
  control_in().kick();
  ASSERT_EQ(control_in().used(), 2);
  EXPECT_EQ(control_in().got(0), bytes({1, kPortAdd, 1}));
  EXPECT_EQ(control_in().got(1), bytes({1, kPortName, 1}, "chan"));
  bus_->host_connected(*port_, true);
  ASSERT_EQ(control_in().used(), 3);
  EXPECT_EQ(control_in().got(2), bytes({1, kPortOpen, 1}));
}

TEST_F(SerialBusTest, HoldsInputUntilThereAreBuffersAndTheGuestHasOpened) {
  world->input = filled(100, "end");
  receive().give(true);
  bus_->input_ready(1);
  EXPECT_EQ(receive().used(), 0);
  open();
  ASSERT_EQ(receive().used(), 1);
  EXPECT_EQ(receive().got(0), std::string(64, 'x'));
  EXPECT_EQ(world->input.size(), 39u);
  receive().give(true);
  receive().give(true);
  receive().kick();
  ASSERT_EQ(receive().used(), 2);
  EXPECT_EQ(receive().got(1), filled(36, "end"));
  EXPECT_EQ(receive().interrupts, 2);
  // The buffer that was looked at and not needed is still the driver's next one.
  world->input = "more";
  bus_->input_ready(1);
  ASSERT_EQ(receive().used(), 3);
  EXPECT_EQ(receive().got(2), "more");
}

TEST_F(SerialBusTest, ASlowHostStopsTheGuestNotTheLoop) {
  world->room = 10;
  transmit().give(false, "0123456789abcdef");
  transmit().give(false, "ghij");
  transmit().kick();
  EXPECT_EQ(world->output, "0123456789");
  EXPECT_EQ(transmit().used(), 0);
  world->room = 7;
  bus_->output_ready(1);
  EXPECT_EQ(transmit().used(), 1);
  world->room = 100;
  bus_->output_ready(1);
  EXPECT_EQ(transmit().used(), 2);
  EXPECT_EQ(world->output, "0123456789abcdefghij");
}

TEST_F(SerialBusTest, APortThatGoesGivesItsBufferBack) {
  open();
  world->room = 3;
  transmit().give(false, "abcdef");
  transmit().kick();
  EXPECT_EQ(transmit().used(), 0);
  receive().give(true);
  receive().kick();
  port_->unrealize();
  port_.reset();
  EXPECT_EQ(transmit().used(), 1);
  EXPECT_EQ(receive().used(), 0);
  transmit().give(false, "to nobody");
  transmit().kick();
  EXPECT_EQ(transmit().used(), 1);
  // The next one goes on where this one has stopped.
  world->room = 100;
  port_ = std::make_unique<SerialPort>(instance(1));
  ASSERT_TRUE(port_->realize(nullptr));
  transmit().kick();
  EXPECT_EQ(world->output, "abcto nobody");
}

TEST_F(SerialBusTest, HostileBuffersAskForAReset) {
  transmit().give(false, "x", kMemory - 1, 64);
  transmit().kick();
  EXPECT_THAT(world->reset_reason, ::testing::HasSubstr("outside memory"));
  EXPECT_EQ(transmit().used(), 0);
  // Nothing more is taken, of any queue, until the reset.
  say(0, kDeviceReady, 1);
  EXPECT_EQ(control_out().used(), 0);
  world->ops->reset(world->self);
  world->reset_reason.clear();
  for (size_t i = 0; i < queues_.size(); ++i) queues_[i] = std::make_unique<DriverQueue>(static_cast<uint32_t>(i));
  std::memset(world->memory, 0, kMemory);
  activate();
  open();
  EXPECT_EQ(control_out().used(), 3);
  EXPECT_EQ(world->reset_reason, "");
}

TEST_F(SerialBusTest, AnIndexThatRunsAheadAsksForAReset) {
  for (DriverQueue* queue : {&control_out(), &receive(), &transmit()}) {
    world->ops->reset(world->self);
    world->reset_reason.clear();
    std::memset(world->memory, 0, kMemory);
    activate();
    port_->state().guest_open = true;
    queue->claim(DriverQueue::kEntries + 1);
    queue->kick();
    EXPECT_THAT(world->reset_reason, ::testing::HasSubstr("runs ahead"));
  }
}

TEST_F(SerialBusTest, AControlMessageThatIsTooShortAsksForAReset) {
  for (const char* text : {"a", "seven b"}) {
    world->ops->reset(world->self);
    world->reset_reason.clear();
    std::memset(world->memory, 0, kMemory);
    activate();
    say(0, kDeviceReady, 1);
    control_out().give(false, text);
    control_out().kick();
    EXPECT_THAT(world->reset_reason, ::testing::HasSubstr("too short"));
  }
}

TEST_F(SerialBusTest, AControlBufferWithoutRoomAsksForAReset) {
  say(0, kDeviceReady, 1);
  control_in().give(true, "", control_in().raw().desc + 0x1000, 4);
  control_in().kick();
  EXPECT_THAT(world->reset_reason, ::testing::HasSubstr("no room"));
}

}  // namespace
}  // namespace nacre::virtio_serial
