#include "cfi01.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace nacre::flash {
namespace {

// Commands, the low byte of what is written.
enum : uint8_t {
  kProgramAlternate = 0x10,
  kEraseSector = 0x20,
  kProgram = 0x40,
  kClearStatus = 0x50,
  kLockSetup = 0x60,
  kReadStatus = 0x70,
  kReadIdentity = 0x90,
  kReadQuery = 0x98,
  kSuspend = 0xb0,
  kConfirm = 0xd0,
  kBufferedWrite = 0xe8,
  kReadArray = 0xff,
};

}  // namespace

// One byte of each chip is the answer, the others are 0.
uint64_t Cfi01::each_chip(uint8_t byte, uint32_t width) const {
  uint64_t value = 0;
  for (uint32_t at = 0; at < width; at += geometry_.device_width) value |= uint64_t{byte} << (8 * at);
  return value;
}

uint64_t Cfi01::read(uint64_t offset, uint32_t width) const {
  const uint64_t index = offset / geometry_.bank_width;
  switch (mode_) {
    case Mode::Array:
      break;
    case Mode::Status:
      return each_chip(status_, width);
    case Mode::Identity:
      return each_chip(identity(index), width);
    case Mode::Query:
      return each_chip(query(index), width);
  }
  uint64_t value = 0;
  std::memcpy(&value, array_.data() + offset, width);
  return value;
}

// The manufacturer, the device, and in each sector's third word whether it is locked (P30 §11.2.3). The codes are
// Intel's and of no chip that a driver would know better than by its query.
uint8_t Cfi01::identity(uint64_t index) const {
  switch (index & 0xff) {
    case 0:
      return 0x89;
    case 1:
      return 0x18;
    case 2:
      return geometry_.readonly;
    default:
      return 0;
  }
}

// JESD68.01 §2, and Intel's extended table behind it.
uint8_t Cfi01::query(uint64_t index) const {
  const uint32_t chips = geometry_.bank_width / geometry_.device_width;
  const uint64_t bytes = array_.size() / chips;
  const uint64_t sectors = array_.size() / geometry_.sector - 1;
  const uint64_t sector = geometry_.sector / chips / 256;
  switch (index & 0xff) {
    case 0x10:
      return 'Q';
    case 0x11:
      return 'R';
    case 0x12:
      return 'Y';
    case 0x13:
      return 1;  // Intel's extended command set
    case 0x15:
      return 0x31;  // where its table is
    case 0x1b:
      return 0x45;  // supply, tenths of a volt
    case 0x1c:
      return 0x55;
    case 0x1f:  // typical times, as powers of two: a word,
    case 0x20:  // a buffer, in microseconds,
      return 7;
    case 0x21:
      return 10;  // a sector, in milliseconds
    case 0x23:    // and how many times that they take at most
    case 0x24:
    case 0x25:
      return 4;
    case 0x27:
      return static_cast<uint8_t>(std::bit_width(bytes - 1));
    case 0x28:
      return geometry_.device_width == 1 ? 0 : geometry_.device_width == 2 ? 1 : 3;
    case 0x2a:
      return kBufferShift;
    case 0x2c:
      return 1;  // one region of equal sectors
    case 0x2d:
      return static_cast<uint8_t>(sectors);
    case 0x2e:
      return static_cast<uint8_t>(sectors >> 8);
    case 0x2f:
      return static_cast<uint8_t>(sector);
    case 0x30:
      return static_cast<uint8_t>(sector >> 8);
    case 0x31:
      return 'P';
    case 0x32:
      return 'R';
    case 0x33:
      return 'I';
    case 0x34:
      return '1';
    case 0x35:
      return '0';
    default:
      return 0;
  }
}

Cfi01::Changed Cfi01::write(uint64_t offset, uint32_t width, uint64_t value) {
  const auto code = static_cast<uint8_t>(value);
  uint8_t bytes[8];
  std::memcpy(bytes, &value, sizeof bytes);
  switch (expects_) {
    case Expects::Command:
      command(code);
      return {};
    case Expects::Data:
      return program(offset, std::span(bytes).first(width));
    case Expects::EraseConfirm:
      if (code == kConfirm) return erase(offset);
      end(kEraseFailed | kProgramFailed);  // not what belongs here
      return {};
    case Expects::Count: {
      left_ = (uint64_t{code} + 1) * geometry_.bank_width;
      started_ = crossed_ = false;
      if (left_ > buffer_size())
        end(kEraseFailed | kProgramFailed);
      else
        expect(Expects::Buffer);
      return {};
    }
    case Expects::Buffer:
      return fill(offset, width, value);
    case Expects::BufferConfirm:
      if (code == kConfirm) return commit();
      end(kEraseFailed | kProgramFailed);
      return {};
    case Expects::Lock:
      end();  // lock, unlock and lock down: there is nothing to lock but what is read-only as a whole
      return {};
  }
  return {};
}

void Cfi01::command(uint8_t code) {
  switch (code) {
    case kProgram:
    case kProgramAlternate:
      mode_ = Mode::Status;
      return expect(Expects::Data);
    case kEraseSector:
      mode_ = Mode::Status;
      return expect(Expects::EraseConfirm);
    case kBufferedWrite:
      mode_ = Mode::Status;
      status_ |= kReady;  // a buffer is free
      return expect(Expects::Count);
    case kLockSetup:
      mode_ = Mode::Status;
      return expect(Expects::Lock);
    case kClearStatus:
      // All of it. A chip's ready bit would stay; but EDK II's driver tells flash from ROM by a status that reads 0
      // after this command (OvmfPkg/QemuFlashFvbServicesRuntimeDxe), and what needs the bit gets it from its operation.
      status_ = 0;
      return;
    case kReadStatus:
    case kSuspend:  // nothing is ever under way
    case kConfirm:
      mode_ = Mode::Status;
      return;
    case kReadIdentity:
      mode_ = Mode::Identity;
      return;
    case kReadQuery:
      mode_ = Mode::Query;
      return;
    case kReadArray:
    default:
      mode_ = Mode::Array;
      return;
  }
}

// The operation is over, at once; its status can be read.
void Cfi01::end(uint8_t failed) {
  mode_ = Mode::Status;
  status_ = static_cast<uint8_t>(status_ | kReady | failed);
  expect(Expects::Command);
}

// Programming only clears bits; setting them takes an erase.
Cfi01::Changed Cfi01::program(uint64_t offset, std::span<const uint8_t> bytes) {
  end(geometry_.readonly ? kProgramFailed | kLocked : 0);
  if (geometry_.readonly) return {};
  for (size_t i = 0; i < bytes.size(); ++i) array_[offset + i] &= bytes[i];
  return {offset, bytes.size()};
}

Cfi01::Changed Cfi01::erase(uint64_t offset) {
  end(geometry_.readonly ? kEraseFailed | kLocked : 0);
  if (geometry_.readonly) return {};
  const uint64_t begin = offset / geometry_.sector * geometry_.sector;
  std::memset(array_.data() + begin, 0xff, geometry_.sector);
  return {begin, geometry_.sector};
}

// One more of the words of a buffered write, in any order, all of them in one block of the buffer's size (P30 §11.4).
Cfi01::Changed Cfi01::fill(uint64_t offset, uint32_t width, uint64_t value) {
  if (!started_) {
    buffer_base_ = offset / buffer_size() * buffer_size();
    std::fill(buffer_.begin(), buffer_.end(), uint8_t{0xff});
    started_ = true;
  }
  if (offset < buffer_base_ || offset - buffer_base_ + width > buffer_size())
    crossed_ = true;
  else
    std::memcpy(buffer_.data() + (offset - buffer_base_), &value, width);
  left_ -= std::min<uint64_t>(left_, width);
  if (left_ == 0) expect(Expects::BufferConfirm);
  return {};
}

Cfi01::Changed Cfi01::commit() {
  if (crossed_) {
    end(kEraseFailed | kProgramFailed);
    return {};
  }
  const uint64_t length = std::min<uint64_t>(buffer_size(), array_.size() - buffer_base_);
  return program(buffer_base_, std::span(buffer_).first(length));
}

void Cfi01::reset() {
  mode_ = Mode::Array;
  expect(Expects::Command);
  status_ = kReady;
}

}  // namespace nacre::flash
