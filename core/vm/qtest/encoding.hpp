// Bytes as text: hexadecimal and base64 (RFC 4648 §4).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nacre::qtest {

std::string to_hex(std::span<const uint8_t> bytes);
// An odd number of digits is taken with a 0 before it. None for what is no hexadecimal digit.
std::optional<std::vector<uint8_t>> from_hex(std::string_view text);

std::string to_base64(std::span<const uint8_t> bytes);
// None for a length that is no multiple of 4 or what is no digit; '=' stands at the end only.
std::optional<std::vector<uint8_t>> from_base64(std::string_view text);

}  // namespace nacre::qtest
