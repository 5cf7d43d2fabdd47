#include "machines/common/aml.hpp"

#include <string>

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
  kLocal0 = 0x60,
  kArg0 = 0x68,
  kStore = 0x70,
  kAnd = 0x7b,
  kOr = 0x7d,
  kCreateDwordField = 0x8a,
  kLNot = 0x92,
  kLEqual = 0x93,
  kIf = 0xa0,
  kElse = 0xa1,
  kReturn = 0xa4,
  kDualName = 0x2e,
  kMultiName = 0x2f,
  kExtended = 0x5b,
  kDevice = 0x82,  // after kExtended
  kNotify = 0x86,
  kMutex = 0x01,  // these after kExtended as well
  kAcquire = 0x23,
  kRelease = 0x27,
  kRegion = 0x80,
  kField = 0x81,
  kIncrement = 0x75,
  kLLess = 0x95,
  kWhile = 0xa2,
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

Bytes buffer(std::span<const uint8_t> bytes) {
  Bytes content = integer(bytes.size());
  append(content, bytes);
  return with_length({kBuffer}, content);
}

Bytes uuid(std::string_view text) {
  // The first three groups are little-endian numbers, the rest is in the order of its digits.
  constexpr size_t kDigits[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
  Bytes bytes;
  for (size_t at : kDigits)
    bytes.push_back(static_cast<uint8_t>(std::stoul(std::string(text.substr(at, 2)), nullptr, 16)));
  return buffer(bytes);
}

Bytes package(const std::vector<Bytes>& elements) {
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
Bytes method(std::string_view what, uint8_t arguments, const std::vector<Bytes>& terms, bool serialized) {
  Bytes head = path(what);
  append(head, static_cast<uint8_t>(arguments | (serialized ? 1 << 3 : 0)));
  return with_length({kMethod}, join(head, terms));
}
Bytes notify(std::string_view object, uint64_t value) {
  return notify(object, integer(value));
}
Bytes notify(std::string_view object, const Bytes& value) {
  return join({kNotify}, {path(object), value});
}

Bytes argument(uint8_t index) {
  return {static_cast<uint8_t>(kArg0 + index)};
}
Bytes local(uint8_t index) {
  return {static_cast<uint8_t>(kLocal0 + index)};
}
Bytes if_(const Bytes& condition, const std::vector<Bytes>& terms) {
  return with_length({kIf}, join(condition, terms));
}
Bytes else_(const std::vector<Bytes>& terms) {
  return with_length({kElse}, join({}, terms));
}
Bytes equal(const Bytes& left, const Bytes& right) {
  return join({kLEqual}, {left, right});
}
Bytes not_(const Bytes& value) {
  return join({kLNot}, {value});
}
Bytes and_(const Bytes& left, const Bytes& right, const Bytes& target) {
  return join({kAnd}, {left, right, target});
}
Bytes or_(const Bytes& left, const Bytes& right, const Bytes& target) {
  return join({kOr}, {left, right, target});
}
Bytes store(const Bytes& value, const Bytes& target) {
  return join({kStore}, {value, target});
}
Bytes return_(const Bytes& value) {
  return join({kReturn}, {value});
}
Bytes and_(const Bytes& left, const Bytes& right) {
  return join({kAnd}, {left, right, {kZero}});
}
Bytes less(const Bytes& left, const Bytes& right) {
  return join({kLLess}, {left, right});
}
Bytes increment(const Bytes& value) {
  return join({kIncrement}, {value});
}
Bytes while_(const Bytes& condition, const std::vector<Bytes>& terms) {
  return with_length({kWhile}, join(condition, terms));
}
Bytes call(std::string_view method, const std::vector<Bytes>& arguments) {
  return join(path(method), arguments);
}
Bytes mutex(std::string_view name) {
  return join({kExtended, kMutex}, {path(name), {0}});
}
Bytes acquire(std::string_view mutex) {
  return join({kExtended, kAcquire}, {path(mutex), {0xff, 0xff}});
}
Bytes release(std::string_view mutex) {
  return join({kExtended, kRelease}, {path(mutex)});
}
Bytes memory_region(std::string_view name, uint64_t base, uint64_t length) {
  constexpr uint8_t kSystemMemory = 0;
  return join({kExtended, kRegion}, {path(name), {kSystemMemory}, integer(base), integer(length)});
}
Bytes field(std::string_view region, uint8_t width, const std::vector<std::string_view>& names) {
  // Access by bytes is 1, by words 2, by double words 3; no lock, and no other bits to preserve.
  Bytes content = path(region);
  append(content, static_cast<uint8_t>(width == 4 ? 3 : width));
  for (std::string_view name : names) {
    append_text(content, name, 4, '_');
    append(content, static_cast<uint8_t>(8 * width));
  }
  return with_length({kExtended, kField}, content);
}
Bytes create_dword_field(const Bytes& buffer, uint32_t index, std::string_view name) {
  return join({kCreateDwordField}, {buffer, integer(index), path(name)});
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

namespace {

enum AddressType : uint8_t { kMemoryRange = 0, kIoRange = 1, kBusRange = 2 };

// An address space descriptor (§6.4.3.5) with numbers as wide as T: a producer's, its ends fixed, decoded positively.
template <typename T>
Bytes address_space(uint8_t item, AddressType type, uint8_t type_flags, T first, T last) {
  Bytes out{item, 0, 0, type, 0x0c, type_flags};
  append(out, T{0});  // granularity
  append(out, first);
  append(out, last);
  append(out, T{0});  // translation
  append(out, static_cast<T>(last - first + 1));
  put<uint16_t>(out, 1, static_cast<uint16_t>(out.size() - 3));
  return out;
}
enum Item : uint8_t { kDwordSpace = 0x87, kWordSpace = 0x88, kQwordSpace = 0x8a };
constexpr uint8_t kEntireIo = 3;         // ISA and others
constexpr uint8_t kReadWriteMemory = 1;  // not cacheable, writable

}  // namespace

Bytes bus_numbers(uint16_t first, uint16_t last) {
  return address_space<uint16_t>(kWordSpace, kBusRange, 0, first, last);
}
Bytes io_window(uint16_t first, uint16_t last) {
  return address_space<uint16_t>(kWordSpace, kIoRange, kEntireIo, first, last);
}
Bytes memory_window32(uint32_t base, uint32_t length) {
  return address_space<uint32_t>(kDwordSpace, kMemoryRange, kReadWriteMemory, base, base + (length - 1));
}
Bytes memory_window64(uint64_t base, uint64_t length) {
  return address_space<uint64_t>(kQwordSpace, kMemoryRange, kReadWriteMemory, base, base + (length - 1));
}

Bytes resource_template(const std::vector<Bytes>& resources) {
  Bytes content = join({}, resources);
  content.insert(content.end(), {0x79, 0});  // end tag, no checksum
  return buffer(content);
}

}  // namespace nacre::machine::aml
