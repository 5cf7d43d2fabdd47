#include "machines/common/aml.hpp"

namespace nacre::machine::aml {
namespace {

enum Op : uint8_t {
  kZero = 0x00,
  kOne = 0x01,
  kName = 0x08,
  kByte = 0x0a,
  kWord = 0x0b,
  kDword = 0x0c,
  kString = 0x0d,
  kQword = 0x0e,
  kScope = 0x10,
  kBuffer = 0x11,
  kPackage = 0x12,
  kMethod = 0x14,
  kDualName = 0x2e,
  kMultiName = 0x2f,
  kExtended = 0x5b,
  kDevice = 0x82,  // after kExtended
  kNotify = 0x86,
};

// PkgLength counts itself: one byte holds up to 63, more bytes 4 bits and 8 each (§20.2.4).
Bytes with_length(Bytes op, const Bytes& content) {
  size_t extra = 0;
  while (content.size() + 1 + extra > (extra ? (size_t{16} << (8 * extra)) - 1 : 63)) ++extra;
  const size_t length = content.size() + 1 + extra;
  if (extra == 0) {
    append(op, static_cast<uint8_t>(length));
  } else {
    append(op, static_cast<uint8_t>(extra << 6 | (length & 15)));
    for (size_t i = 0; i < extra; ++i) append(op, static_cast<uint8_t>(length >> (4 + 8 * i)));
  }
  append(op, std::span<const uint8_t>(content));
  return op;
}

Bytes join(Bytes first, const std::vector<Bytes>& rest) {
  for (const Bytes& term : rest) append(first, std::span<const uint8_t>(term));
  return first;
}

}  // namespace

Bytes path(std::string_view text) {
  Bytes out;
  if (text.starts_with('\\')) {
    append(out, uint8_t{'\\'});
    text.remove_prefix(1);
  }
  std::vector<std::string_view> segments;
  while (!text.empty()) {
    const size_t dot = text.find('.');
    segments.push_back(text.substr(0, dot));
    text = dot == text.npos ? std::string_view() : text.substr(dot + 1);
  }
  if (segments.empty()) append(out, uint8_t{0});
  if (segments.size() == 2) append(out, uint8_t{kDualName});
  if (segments.size() > 2) {
    append(out, uint8_t{kMultiName});
    append(out, static_cast<uint8_t>(segments.size()));
  }
  for (std::string_view segment : segments) append_text(out, segment, 4, '_');
  return out;
}

Bytes integer(uint64_t value) {
  Bytes out;
  if (value <= 1) {
    append(out, static_cast<uint8_t>(value == 0 ? kZero : kOne));
  } else if (value <= UINT8_MAX) {
    append(out, uint8_t{kByte});
    append(out, static_cast<uint8_t>(value));
  } else if (value <= UINT16_MAX) {
    append(out, uint8_t{kWord});
    append(out, static_cast<uint16_t>(value));
  } else if (value <= UINT32_MAX) {
    append(out, uint8_t{kDword});
    append(out, static_cast<uint32_t>(value));
  } else {
    append(out, uint8_t{kQword});
    append(out, value);
  }
  return out;
}

Bytes string(std::string_view text) {
  Bytes out{kString};
  append_text(out, text, text.size() + 1, '\0');
  return out;
}

Bytes eisa_id(std::string_view id) {
  // Three letters of 5 bits, four hexadecimal digits; most significant byte first.
  uint32_t value = 0;
  for (size_t i = 0; i < 3; ++i) value = value << 5 | static_cast<uint32_t>(id[i] - '@');
  for (size_t i = 3; i < 7; ++i)
    value = value << 4 | static_cast<uint32_t>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
  Bytes out{kDword};
  append(out, __builtin_bswap32(value));
  return out;
}

Bytes package(std::initializer_list<Bytes> elements) {
  return with_length({kPackage}, join({static_cast<uint8_t>(elements.size())}, elements));
}

Bytes name(std::string_view what, const Bytes& value) {
  return join({kName}, {path(what), value});
}
Bytes scope(std::string_view where, const std::vector<Bytes>& terms) {
  return with_length({kScope}, join(path(where), terms));
}
Bytes device(std::string_view what, const std::vector<Bytes>& terms) {
  return with_length({kExtended, kDevice}, join(path(what), terms));
}
Bytes method(std::string_view what, uint8_t arguments, const std::vector<Bytes>& terms) {
  Bytes head = path(what);
  append(head, arguments);
  return with_length({kMethod}, join(head, terms));
}
Bytes notify(std::string_view object, uint64_t value) {
  return join({kNotify}, {path(object), integer(value)});
}

Bytes memory32_fixed(uint32_t base, uint32_t length) {
  Bytes out{0x86, 9, 0, 1};  // large item, 9 bytes, read and write
  append(out, base);
  append(out, length);
  return out;
}

Bytes io_ports(uint16_t base, uint8_t length) {
  Bytes out{0x47, 1};  // small item, 16 bits decoded
  append(out, base);
  append(out, base);
  append(out, uint8_t{0});  // alignment
  append(out, length);
  return out;
}

Bytes interrupt(uint32_t gsi) {
  constexpr uint8_t kConsumer = 1, kEdge = 2;  // active high and exclusive are zeros
  Bytes out{0x89, 6, 0, kConsumer | kEdge, 1};
  append(out, gsi);
  return out;
}

Bytes resource_template(std::initializer_list<Bytes> resources) {
  Bytes content = join({}, resources);
  content.insert(content.end(), {0x79, 0});  // end tag, no checksum
  return with_length({kBuffer}, join(integer(content.size()), {content}));
}

}  // namespace nacre::machine::aml
