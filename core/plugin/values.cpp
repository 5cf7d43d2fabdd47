#include "core/plugin/values.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>

namespace nacre {

std::optional<bool> parse_switch(std::string_view text) {
  const auto is_one_of = [text](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (is_one_of({"on", "true", "yes", "1"})) return true;
  if (is_one_of({"off", "false", "no", "0"})) return false;
  return std::nullopt;
}

std::optional<uint64_t> parse_number(std::string_view text, int base) {
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<uint64_t> parse_size(std::string_view text) {
  unsigned shift = 0;
  if (!text.empty() && !text.starts_with("0x") && !text.starts_with("0X")) {
    switch (text.back()) {
      case 'K':
      case 'k':
        shift = 10;
        break;
      case 'M':
      case 'm':
        shift = 20;
        break;
      case 'G':
      case 'g':
        shift = 30;
        break;
      default:
        break;
    }
    if (shift != 0 || text.back() == 'B' || text.back() == 'b') text.remove_suffix(1);
  }
  std::optional<uint64_t> number = parse_number(text);
  if (!number || (shift != 0 && *number > UINT64_MAX >> shift)) return std::nullopt;
  return *number << shift;
}

std::optional<uint64_t> parse_mac(std::string_view text) {
  uint64_t mac = 0;
  if (text.size() != 17) return std::nullopt;
  for (size_t i = 0; i < text.size(); i += 3) {
    std::optional<uint64_t> byte = parse_number(text.substr(i, 2), 16);
    if (!byte || (i != 15 && text[i + 2] != ':') || text[i + 1] == 'x' || text[i + 1] == 'X') return std::nullopt;
    mac = mac << 8 | *byte;
  }
  if (mac >> 40 & 1) return std::nullopt;
  return mac;
}

std::optional<uint8_t> parse_pci_address(std::string_view text) {
  const size_t dot = text.find('.');
  std::optional<uint64_t> slot = parse_number(text.substr(0, dot), 16);
  std::optional<uint64_t> function = dot == std::string_view::npos ? 0 : parse_number(text.substr(dot + 1), 16);
  if (!slot || !function || *slot > 31 || *function > 7) return std::nullopt;
  return static_cast<uint8_t>(*slot << 3 | *function);
}

}  // namespace nacre
