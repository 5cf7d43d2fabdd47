#include "qmp/text.hpp"

#include "core/base/suggest.hpp"

namespace nacre::qmp {
namespace {

constexpr size_t kLongestShown = 64;

// Bytes of the character at the beginning of `text`; 0 when it is not valid.
size_t character(std::string_view text) {
  auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  size_t length;
  unsigned low = 0x80, high = 0xbf;  // of the second byte
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t at = 2; at < length; ++at) {
    if (byte(at) < 0x80 || byte(at) > 0xbf) return 0;
  }
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = character(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string made_utf8(std::string_view text) {
  std::string made;
  made.reserve(text.size());
  while (!text.empty()) {
    const size_t length = character(text);
    if (length == 0) {
      made += '?';
    } else {
      made += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return made;
}

std::string clipped(std::string_view text) {
  if (text.size() <= kLongestShown) return std::string(text);
  size_t end = kLongestShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "...";
}

std::string suggestion(std::string_view word, std::span<const std::string> candidates) {
  return word.size() <= kLongestShown ? did_you_mean(word, candidates) : std::string();
}

}  // namespace nacre::qmp
