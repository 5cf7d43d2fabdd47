// The state of one device as a sequence of tagged fields.
//
// Layout, all little endian: u32 version of the driver's state, then for each field u32 tag, u32 type (1 number,
// 2 bytes), u64 length, and the bytes. Nothing in it is trusted when it is read back.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

class StateWriter {
 public:
  explicit StateWriter(uint32_t version);
  // Each tag once; false when it has been written already.
  bool put_u64(uint32_t tag, uint64_t value);
  bool put_bytes(uint32_t tag, const void* data, uint64_t length);
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  bool put(uint32_t tag, uint32_t type, const void* data, uint64_t length);

  std::vector<uint8_t> bytes_;
  std::vector<uint32_t> tags_;
};

// Refers to the bytes it was made from.
class StateReader {
 public:
  // Fails when the bytes are no such sequence: cut off, a length beyond the end, a tag twice.
  static Result<StateReader> parse(std::span<const uint8_t> bytes);

  enum class Found { Yes, No, OtherType };
  Found get_u64(uint32_t tag, uint64_t& value) const;
  Found get_bytes(uint32_t tag, std::span<const uint8_t>& bytes) const;
  uint32_t version() const { return version_; }

 private:
  struct Field {
    uint32_t type;
    std::span<const uint8_t> bytes;
  };
  uint32_t version_ = 0;
  std::map<uint32_t, Field> fields_;
};

}  // namespace nacre
