// Little-endian byte strings: what tables for a guest are written in.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace nacre::machine {

using Bytes = std::vector<uint8_t>;

// Appends an unsigned integer in its own width; x86 is little-endian and so is every table written here.
template <typename T>
void append(Bytes& to, T value) {
  static_assert(std::is_unsigned_v<T>);
  for (size_t i = 0; i < sizeof value; ++i) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

inline void append(Bytes& to, std::span<const uint8_t> bytes) {
  for (uint8_t byte : bytes) to.push_back(byte);
}

// Appends `width` bytes: the text, cut or filled up with `fill`.
inline void append_text(Bytes& to, std::string_view text, size_t width, char fill) {
  for (size_t i = 0; i < width; ++i) to.push_back(static_cast<uint8_t>(i < text.size() ? text[i] : fill));
}

// Overwrites or reads an integer at `offset`, which the caller knows to be inside.
template <typename T>
void put(std::span<uint8_t> in, size_t offset, T value) {
  std::memcpy(in.data() + offset, &value, sizeof value);
}
template <typename T>
T get(std::span<const uint8_t> from, size_t offset) {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}

// Returns the byte that makes the sum of all bytes, with itself in place of a zero, 0 modulo 256.
inline uint8_t checksum(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (uint8_t byte : bytes) sum = static_cast<uint8_t>(sum + byte);
  return static_cast<uint8_t>(-sum);
}

}  // namespace nacre::machine
