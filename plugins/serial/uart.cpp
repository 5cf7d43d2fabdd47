#include "uart.hpp"

#include <algorithm>

namespace nacre::serial {
namespace {

enum Register : uint32_t { kData = 0, kIer = 1, kIirFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6, kScr = 7 };
enum : uint8_t {
  kIerReceive = 0x01,
  kIerTransmit = 0x02,
  kIerLine = 0x04,
  kIirNone = 0x01,
  kIirTransmit = 0x02,
  kIirReceive = 0x04,
  kIirLine = 0x06,
  kIirFifos = 0xc0,
  kFcrEnable = 0x01,
  kFcrClearReceive = 0x02,
  kLcrDivisor = 0x80,
  kMcrOut2 = 0x08,
  kMcrLoop = 0x10,
  kLsrData = 0x01,
  kLsrOverrun = 0x02,
  kLsrEmpty = 0x60,  // holding register and shift register
  kMsrCts = 0x10,
  kMsrDsr = 0x20,
  kMsrDcd = 0x80,
};

}  // namespace

bool Uart::loopback() const {
  return mcr_ & kMcrLoop;
}

// The highest pending source, §8.6 table 5. Reading the register acknowledges the transmitter's.
uint8_t Uart::identify(bool clear) {
  uint8_t fifos = fcr_ & kFcrEnable ? kIirFifos : 0;
  if (ier_ & kIerLine && lsr_errors_) return fifos | kIirLine;
  if (ier_ & kIerReceive && input_count_) return fifos | kIirReceive;
  if (ier_ & kIerTransmit && thr_empty_pending_) {
    if (clear) thr_empty_pending_ = false;
    return fifos | kIirTransmit;
  }
  return fifos | kIirNone;
}

// On a PC, OUT2 gates the line to the interrupt controller.
bool Uart::interrupt() const {
  return mcr_ & kMcrOut2 && !(const_cast<Uart*>(this)->identify(false) & kIirNone);
}

uint8_t Uart::read(uint32_t offset, Effect& effect) {
  switch (offset) {
    case kData: {
      if (lcr_ & kLcrDivisor) return dll_;
      if (!input_count_) return 0;
      uint8_t byte = input_[input_first_];
      effect.input_room = input_count_ == kInputMax;
      input_first_ = (input_first_ + 1) % kInputMax;
      --input_count_;
      return byte;
    }
    case kIer:
      return lcr_ & kLcrDivisor ? dlm_ : ier_;
    case kIirFcr:
      return identify(true);
    case kLcr:
      return lcr_;
    case kMcr:
      return mcr_;
    case kLsr: {
      uint8_t value = lsr_errors_ | (input_count_ ? kLsrData : 0) | (wire_ready_ ? kLsrEmpty : 0);
      lsr_errors_ = 0;
      return value;
    }
    case kMsr:
      // In loopback the modem outputs are the inputs, §8.7.
      if (loopback())
        return static_cast<uint8_t>((mcr_ & 0x02) << 3 | (mcr_ & 0x01) << 5 | (mcr_ & 0x04) << 4 | (mcr_ & 0x08) << 4);
      return kMsrCts | kMsrDsr | kMsrDcd;
    case kScr:
      return scr_;
    default:
      return 0;
  }
}

void Uart::write(uint32_t offset, uint8_t value, Effect& effect) {
  switch (offset) {
    case kData:
      if (lcr_ & kLcrDivisor) {
        dll_ = value;
        break;
      }
      if (loopback()) {
        receive(&value, 1);
      } else {
        effect.transmit = true;
        effect.byte = value;
      }
      thr_empty_pending_ = wire_ready_;
      break;
    case kIer:
      if (lcr_ & kLcrDivisor) {
        dlm_ = value;
        break;
      }
      // Enabling the transmitter's interrupt while it is empty raises it at once.
      if (value & kIerTransmit && !(ier_ & kIerTransmit)) thr_empty_pending_ = wire_ready_;
      ier_ = value & 0x0f;
      break;
    case kIirFcr:
      fcr_ = value & 0xc9;
      if (value & kFcrClearReceive) {
        effect.input_room = input_count_ > 0;
        input_first_ = input_count_ = 0;
      }
      break;
    case kLcr:
      lcr_ = value;
      break;
    case kMcr:
      mcr_ = value & 0x1f;
      break;
    case kScr:
      scr_ = value;
      break;
    default:  // line and modem status cannot be written
      break;
  }
}

void Uart::set_wire_ready(bool ready) {
  if (ready && !wire_ready_) thr_empty_pending_ = true;
  wire_ready_ = ready;
}

uint32_t Uart::receive(const uint8_t* data, uint32_t length) {
  uint32_t taken = std::min(length, input_room());
  for (uint32_t i = 0; i < taken; ++i) input_[(input_first_ + input_count_ + i) % kInputMax] = data[i];
  input_count_ += taken;
  if (loopback() && taken < length) lsr_errors_ |= kLsrOverrun;
  return taken;
}

void Uart::reset() {
  *this = Uart();
}

Uart::State Uart::save() const {
  State state{{ier_, fcr_, lcr_, mcr_, lsr_errors_, scr_, dll_, dlm_}, {}, input_count_};
  for (uint32_t i = 0; i < input_count_; ++i) state.input[i] = input_[(input_first_ + i) % kInputMax];
  return state;
}

bool Uart::load(const State& state) {
  if (state.input_count > kInputMax) return false;
  ier_ = state.registers[0] & 0x0f;
  fcr_ = state.registers[1] & 0xc9;
  lcr_ = state.registers[2];
  mcr_ = state.registers[3] & 0x1f;
  lsr_errors_ = state.registers[4] & kLsrOverrun;
  scr_ = state.registers[5];
  dll_ = state.registers[6];
  dlm_ = state.registers[7];
  input_ = state.input;
  input_first_ = 0;
  input_count_ = state.input_count;
  thr_empty_pending_ = true;
  return true;
}

}  // namespace nacre::serial
