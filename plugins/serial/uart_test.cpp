#include "uart.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace nacre::serial {
namespace {

uint8_t read(Uart& uart, uint32_t reg) {
  Uart::Effect effect;
  return uart.read(reg, effect);
}
Uart::Effect write(Uart& uart, uint32_t reg, uint8_t value) {
  Uart::Effect effect;
  uart.write(reg, value, effect);
  return effect;
}

TEST(Uart, Transmits) {
  Uart uart;
  EXPECT_EQ(read(uart, 5), 0x60);
  Uart::Effect effect = write(uart, 0, 'x');
  EXPECT_TRUE(effect.transmit);
  EXPECT_EQ(effect.byte, 'x');
}

TEST(Uart, InterruptsWhenTheTransmitterIsEmptyUntilIirIsRead) {
  Uart uart;
  write(uart, 4, 8);
  write(uart, 1, 2);
  EXPECT_TRUE(uart.interrupt());
  EXPECT_EQ(read(uart, 2), 2);
  EXPECT_FALSE(uart.interrupt());
  EXPECT_EQ(read(uart, 2), 1);
  write(uart, 0, 'a');
  EXPECT_TRUE(uart.interrupt());
}

TEST(Uart, ReceivesUpToItsBoundAndInterrupts) {
  Uart uart;
  write(uart, 4, 8);
  write(uart, 1, 1);
  std::vector<uint8_t> flood(5000, 'f');
  EXPECT_EQ(uart.receive(flood.data(), 5000), Uart::kInputMax);
  EXPECT_EQ(uart.receive(flood.data(), 1), 0u);
  EXPECT_TRUE(uart.interrupt());
  EXPECT_EQ(read(uart, 2), 4);
  Uart::Effect effect;
  EXPECT_EQ(uart.read(0, effect), 'f');
  EXPECT_TRUE(effect.input_room);
  while (read(uart, 5) & 1) read(uart, 0);
  EXPECT_FALSE(uart.interrupt());
}

TEST(Uart, HoldsTheTransmitterWhileTheWireIsBusy) {
  Uart uart;
  write(uart, 4, 8);
  write(uart, 1, 2);
  read(uart, 2);
  uart.set_wire_ready(false);
  EXPECT_EQ(read(uart, 5), 0);
  EXPECT_FALSE(uart.interrupt());
  uart.set_wire_ready(true);
  EXPECT_EQ(read(uart, 5), 0x60);
  EXPECT_TRUE(uart.interrupt());
}

TEST(Uart, LoopsBack) {
  Uart uart;
  write(uart, 4, 0x1a);
  EXPECT_EQ(read(uart, 6) & 0xf0, 0x90);  // what Linux looks for when it probes the port
  EXPECT_FALSE(write(uart, 0, 'l').transmit);
  EXPECT_EQ(read(uart, 0), 'l');
}

TEST(Uart, KeepsItsStateOverSaveAndLoad) {
  Uart uart;
  write(uart, 3, 0x83);
  write(uart, 0, 1);
  write(uart, 3, 0x03);
  write(uart, 1, 5);
  uart.receive(reinterpret_cast<const uint8_t*>("abc"), 3);
  Uart::State state = uart.save();
  Uart other;
  ASSERT_TRUE(other.load(state));
  Uart::State again = other.save();
  EXPECT_EQ(again.registers, state.registers);
  EXPECT_EQ(again.input_count, 3u);
  EXPECT_EQ(read(other, 0), 'a');
  state.input_count = Uart::kInputMax + 1;
  EXPECT_FALSE(other.load(state));
}

TEST(Uart, SurvivesRandomAccess) {
  std::mt19937 random(3);
  Uart uart;
  for (int i = 0; i < 200000; ++i) {
    if (random() % 2)
      read(uart, random() % 8);
    else
      write(uart, random() % 8, static_cast<uint8_t>(random()));
    uint8_t byte = static_cast<uint8_t>(random());
    if (random() % 5 == 0) uart.receive(&byte, 1);
    ASSERT_LE(uart.save().input_count, Uart::kInputMax);
  }
}

}  // namespace
}  // namespace nacre::serial
