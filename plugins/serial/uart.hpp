// The registers of a 16550A, without the bus, the interrupt and the wire (PC16550D data sheet, table 2).
#pragma once

#include <array>
#include <cstdint>

namespace nacre::serial {

// Not thread-safe: its owner serialises the calls. Every register takes every value at any time.
class Uart {
 public:
  static constexpr uint32_t kRegisters = 8;
  static constexpr uint32_t kInputMax = 1024;  // bytes from the host that wait for the guest

  // What the guest's access asks of the world.
  struct Effect {
    bool transmit = false;  // `byte` goes out on the wire
    uint8_t byte = 0;
    bool input_room = false;  // there is room for input again
  };

  uint8_t read(uint32_t offset, Effect& effect);
  void write(uint32_t offset, uint8_t value, Effect& effect);

  // Whether the wire takes another byte: while it does not, the transmitter is shown as busy.
  void set_wire_ready(bool ready);
  // Bytes from the host: takes as many as there is room for and returns how many.
  uint32_t receive(const uint8_t* data, uint32_t length);
  uint32_t input_room() const { return kInputMax - input_count_; }
  // The level of the interrupt line.
  bool interrupt() const;

  void reset();

  // The registers and the waiting input, for saved state.
  struct State {
    std::array<uint8_t, 8> registers;  // ier, iir flags, lcr, mcr, lsr, scr, dll, dlm
    std::array<uint8_t, kInputMax> input;
    uint32_t input_count;
  };
  State save() const;
  bool load(const State& state);

 private:
  bool loopback() const;
  uint8_t identify(bool clear);

  uint8_t ier_ = 0, lcr_ = 0, mcr_ = 0, lsr_errors_ = 0, scr_ = 0, fcr_ = 0;
  uint8_t dll_ = 12, dlm_ = 0;  // 9600 baud
  bool thr_empty_pending_ = false;
  bool wire_ready_ = true;
  std::array<uint8_t, kInputMax> input_{};
  uint32_t input_first_ = 0, input_count_ = 0;
};

}  // namespace nacre::serial
