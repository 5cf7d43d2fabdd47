#include "control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre::virtio_serial {
namespace {

using ::testing::HasSubstr;

class ControlTest : public ::testing::Test {
 protected:
  PortState& plug(bool console, std::optional<uint64_t> nr = {}, const char* name = "p") {
    auto chosen = control_.choose(nr, console);
    EXPECT_TRUE(chosen) << (chosen ? "" : chosen.error().message);
    ports_.push_back(std::make_unique<PortState>());
    PortState& port = *ports_.back();
    port.nr = *chosen;
    port.console = console;
    port.name = name;
    control_.add(port);
    return port;
  }
  PortState* say(uint32_t id, uint16_t event, uint16_t value) { return control_.accept({id, event, value}); }
  // What the driver would get now, as "id:event:value[:name]" words.
  std::string told() {
    std::string text;
    while (const Outgoing* out = control_.front()) {
      if (!text.empty()) text += " ";
      text += std::to_string(out->message.id) + ":" + std::to_string(out->message.event) + ":" +
              std::to_string(out->message.value) + (out->name.empty() ? "" : ":" + out->name);
      control_.pop();
    }
    return text;
  }

  Control control_{4};
  std::vector<std::unique_ptr<PortState>> ports_;
};

TEST_F(ControlTest, NumbersThePorts) {
  EXPECT_EQ(plug(false).nr, 1u);
  EXPECT_EQ(plug(true).nr, 0u);
  EXPECT_EQ(plug(true, 3).nr, 3u);
  EXPECT_EQ(plug(true).nr, 2u);
  EXPECT_THAT(control_.choose({}, true).error().message,
              HasSubstr("every port of the virtio-serial device (max-ports=4) is taken"));
}

TEST_F(ControlTest, RefusesNumbers) {
  EXPECT_EQ(control_.choose(0, false).error().message,
            "Port number 0 on virtio-serial devices reserved for virtconsole device.");
  EXPECT_EQ(control_.choose(4, true).error().message,
            "virtio serial port nr 4 should be less than virtio serial's max_nr_ports 4");
  EXPECT_EQ(control_.choose(~0ull, false).error().message,
            "virtio serial port nr 18446744073709551615 should be less than virtio serial's max_nr_ports 4");
  plug(false, 2, "chan");
  EXPECT_THAT(control_.choose(2, false).error().message, HasSubstr("is taken by 'chan'"));
}

TEST_F(ControlTest, PortZeroStaysFreeForAConsole) {
  Control one(1);
  EXPECT_THAT(one.choose({}, false).error().message, HasSubstr("reserved for a virtconsole"));
  EXPECT_EQ(*one.choose({}, true), 0u);
}

TEST_F(ControlTest, SetsUpAConsoleAndAPort) {
  plug(true, {}, "con");
  PortState& port = plug(false, {}, "chan");
  control_.start(true);
  EXPECT_EQ(told(), "");
  say(0, kDeviceReady, 1);
  EXPECT_EQ(told(), "0:1:1 1:1:1");
  say(0, kPortReady, 1);
  EXPECT_EQ(told(), "0:4:1 0:7:1:con 0:6:1");
  say(1, kPortReady, 1);
  EXPECT_EQ(told(), "1:7:1:chan");
  control_.set_host_connected(port, true);
  EXPECT_EQ(told(), "1:6:1");
  control_.set_host_connected(port, false);
  EXPECT_EQ(told(), "1:6:0");
  EXPECT_EQ(say(1, kPortOpen, 1), &port);
  EXPECT_TRUE(port.guest_open);
  EXPECT_EQ(say(1, kPortOpen, 1), nullptr);
  EXPECT_EQ(say(1, kPortOpen, 0), &port);
  EXPECT_FALSE(port.guest_open);
}

TEST_F(ControlTest, TellsOfAHostThatWasThereBefore) {
  PortState& port = plug(false);
  control_.start(true);
  control_.set_host_connected(port, true);
  say(0, kDeviceReady, 1);
  EXPECT_EQ(told(), "1:1:1");
  say(1, kPortReady, 1);
  EXPECT_EQ(told(), "1:7:1:p 1:6:1");
}

TEST_F(ControlTest, AConsoleIsAlwaysConnected) {
  PortState& console = plug(true);
  control_.start(true);
  say(0, kDeviceReady, 1);
  say(0, kPortReady, 1);
  told();
  control_.set_host_connected(console, true);
  control_.set_host_connected(console, false);
  EXPECT_EQ(told(), "");
}

TEST_F(ControlTest, PortsComeAndGoWhileTheGuestRuns) {
  control_.start(true);
  say(0, kDeviceReady, 1);
  PortState& port = plug(false);
  EXPECT_EQ(told(), "1:1:1");
  say(1, kPortReady, 1);
  told();
  say(1, kPortOpen, 1);
  control_.remove(port);
  EXPECT_EQ(told(), "1:2:1");
  EXPECT_EQ(say(1, kPortOpen, 0), nullptr);
  EXPECT_EQ(plug(false).nr, 1u);
  EXPECT_EQ(told(), "1:1:1");
}

TEST_F(ControlTest, WithoutMultiportTheConsoleIsOpenAtOnce) {
  PortState& console = plug(true);
  plug(false);
  control_.start(false);
  EXPECT_TRUE(console.guest_open);
  say(0, kDeviceReady, 1);
  EXPECT_EQ(told(), "");
  control_.stop();
  EXPECT_FALSE(console.guest_open);
}

TEST_F(ControlTest, WhatMakesNoSenseIsIgnored) {
  PortState& port = plug(false);
  control_.start(true);
  EXPECT_EQ(say(1, kPortReady, 1), nullptr);  // before DEVICE_READY
  EXPECT_EQ(say(1, kPortOpen, 1), nullptr);
  say(0, kDeviceReady, 0);
  EXPECT_EQ(told(), "");
  say(0, kDeviceReady, 1);
  say(0, kDeviceReady, 1);
  EXPECT_EQ(told(), "1:1:1");
  for (uint32_t id : {0u, 2u, 4u, 31u, 32u, 63u, ~0u})
    for (uint16_t event = 1; event < 12; ++event) EXPECT_EQ(say(id, event, 1), nullptr) << id << " " << event;
  for (uint16_t event : {kPortAdd, kPortRemove, kConsolePort, kResize, kPortName}) say(1, event, 1);
  say(1, 0xffff, 1);
  EXPECT_EQ(told(), "");
  EXPECT_FALSE(port.guest_open);
}

TEST_F(ControlTest, ADriverThatFetchesNothingGetsNoMemory) {
  PortState& port = plug(false);
  control_.start(true);
  say(0, kDeviceReady, 1);
  say(1, kPortReady, 1);
  for (int i = 0; i < 100'000; ++i) control_.set_host_connected(port, i % 2 == 0);
  EXPECT_FALSE(control_.has_room());
  size_t messages = 0;
  ControlMessage last{};
  for (; control_.front(); control_.pop(), ++messages) last = control_.front()->message;
  EXPECT_LE(messages, Control::kMaxWaiting + 1);
  // The last word is how things stand.
  EXPECT_EQ(last.event, kPortOpen);
  EXPECT_EQ(last.value, 0);
}

}  // namespace
}  // namespace nacre::virtio_serial
