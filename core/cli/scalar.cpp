// Single values: numbers, sizes, switches, words of a list, names and paths.
#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "core/base/suggest.hpp"
#include "core/cli/syntax.hpp"

namespace nacre::cli {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxSocketPath = 107;
constexpr std::string_view kTrue[] = {"on", "true", "yes", "unmap"};
constexpr std::string_view kFalse[] = {"off", "false", "no", "ignore"};

bool all_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

// Reads all of `text` as digits; a number that does not fit fails like a wrong one.
bool read_number(std::string_view text, int base, uint64_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

Result<Scalar> integer(const std::string& where, std::string_view text, const Key& key) {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  uint64_t number = 0;
  if (!read_number(hex ? text.substr(2) : text, hex ? 16 : 10, number) || number < key.low || number > key.high)
    return fail("{} cannot be '{}': it is a whole number, {}.", where, text,
                key.high == std::numeric_limits<uint64_t>::max() ? fmt::format("{} or more", key.low)
                                                                 : fmt::format("{} to {}", key.low, key.high));
  return Scalar{std::string(text), number};
}

Result<Scalar> size(const std::string& where, std::string_view text) {
  unsigned shift = 20;
  std::string_view digits = text;
  if (!text.empty()) {
    const size_t suffix = std::string_view("kKmMgG").find(text.back());
    if (suffix != std::string_view::npos) {
      shift = 10 * (static_cast<unsigned>(suffix) / 2 + 1);
      digits.remove_suffix(1);
    }
  }
  uint64_t number = 0;
  if (!read_number(digits, 10, number))
    return fail("{} cannot be '{}': a size is a whole number with K, M or G behind it, or of MiB without.", where,
                text);
  if (number > std::numeric_limits<uint64_t>::max() >> shift)
    return fail("{} cannot be '{}': so many bytes cannot be counted.", where, text);
  return Scalar{std::string(text), number << shift};
}

Result<Scalar> boolean(const std::string& where, std::string_view text) {
  if (std::find(std::begin(kTrue), std::end(kTrue), text) != std::end(kTrue)) return Scalar{"on", 1};
  if (std::find(std::begin(kFalse), std::end(kFalse), text) != std::end(kFalse)) return Scalar{"off", 0};
  return fail("{} cannot be '{}': it is on or off (also true, yes; false, no).", where, text);
}

Result<Scalar> bounded(const std::string& where, std::string_view text, size_t limit) {
  if (text.empty()) return fail("{} is empty; write its value.", where);
  if (text.size() > limit) return fail("{} is {} bytes long; at most {} are possible.", where, text.size(), limit);
  return Scalar{std::string(text), 0};
}

// As nacre_add_plugin() takes them.
bool is_type_name(std::string_view text) {
  const auto proper = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-'; };
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), proper);
}

Result<Scalar> choice(const std::string& where, std::string_view text, const Key& key) {
  const std::vector<std::string> words = split_words(key.values);
  for (const std::string& word : words)
    if (same_word(word, text)) return Scalar{word, 0};
  for (const std::string& word : split_words(key.later))
    if (same_word(word, text))
      return fail("{}={} is not supported by this version of Nacre, which takes {}.", where, word, any_of(words));
  // Which plugins there are, is not for the words alone to say.
  if (key.foreign && is_type_name(text)) return bounded(where, text, kMaxName);
  const std::string wrong =
      key.wrong.empty() ? fmt::format("{} cannot be '{}'", where, text) : fmt::format("{} '{}'", key.wrong, text);
  return fail("{}: it is {}.{}", wrong, any_of(words), did_you_mean(text, words));
}

Result<Scalar> uuid(const std::string& where, std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
    if (!hyphen)
      digits += text[i];
    else if (text[i] != '-')
      digits += '?';
  }
  if (digits.size() != 32 || !all_hex(digits))
    return fail("{} cannot be '{}': a UUID is 32 hexadecimal digits as 8-4-4-4-12.", where, text);
  digits = lower(digits);
  std::string spelt;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) spelt += '-';
    spelt += digits[i];
  }
  return Scalar{spelt, 0};
}

Result<Scalar> sha256(const std::string& where, std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 64 || !all_hex(text.substr(kPrefix.size())))
    return fail("{} cannot be '{}': it is sha256: and the 64 hexadecimal digits that sha256sum prints.", where, text);
  return Scalar{lower(text.substr(kPrefix.size())), 0};
}

Result<Scalar> ipv4(const std::string& where, std::string_view text) {
  in_addr address;
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1)
    return fail("{} cannot be '{}': it is an IPv4 address such as 127.0.0.1.", where, text);
  return Scalar{std::string(text), 0};
}

}  // namespace

Result<Scalar> parse_scalar(const std::string& where, std::string_view text, const Key& key) {
  switch (key.type) {
    case ValueType::Bool:
      return boolean(where, text);
    case ValueType::Flag:
      return Scalar{std::string(text), 1};
    case ValueType::Integer:
      return integer(where, text, key);
    case ValueType::Size:
      return size(where, text);
    case ValueType::Choice:
      return choice(where, text, key);
    case ValueType::Ipv4:
      return ipv4(where, text);
    case ValueType::Sha256:
      return sha256(where, text);
    case ValueType::Uuid:
      return uuid(where, text);
    case ValueType::Path:
      // Clients that start without a shell quote as for one.
      if (text.size() > 2 && text.starts_with('"') && text.ends_with('"')) text = text.substr(1, text.size() - 2);
      return bounded(where, text, kMaxPath);
    case ValueType::SocketPath:
      return bounded(where, text, kMaxSocketPath);
    case ValueType::Later:
      return fail("{} is not supported by this version of Nacre: {}.", where, key.help);
    case ValueType::Text:
    case ValueType::Id:
      break;
  }
  return bounded(where, text, kMaxName);
}

std::string placeholder(const Key& key) {
  switch (key.type) {
    case ValueType::Text:
      return "TEXT";
    case ValueType::Id:
      return "ID";
    case ValueType::Path:
    case ValueType::SocketPath:
      return "PATH";
    case ValueType::Bool:
      return "on|off";
    case ValueType::Flag:
      return "";
    case ValueType::Integer:
      return key.high == std::numeric_limits<uint64_t>::max() ? "N" : fmt::format("{}..{}", key.low, key.high);
    case ValueType::Size:
      return "SIZE";
    case ValueType::Choice:
      return std::string(key.values);
    case ValueType::Ipv4:
      return "IP";
    case ValueType::Sha256:
      return "sha256:HEX";
    case ValueType::Uuid:
      return "UUID";
    case ValueType::Later:
      return "...";
  }
  return "";
}

}  // namespace nacre::cli
