#include "core/snapshot/device_state.hpp"

#include <algorithm>
#include <cstring>

namespace nacre {
namespace {

enum : uint32_t { kNumber = 1, kBytes = 2 };

struct FieldHeader {
  uint32_t tag;
  uint32_t type;
  uint64_t length;
};
static_assert(sizeof(FieldHeader) == 16);

}  // namespace

StateWriter::StateWriter(uint32_t version) {
  bytes_.resize(sizeof version);
  std::memcpy(bytes_.data(), &version, sizeof version);
}

bool StateWriter::put(uint32_t tag, uint32_t type, const void* data, uint64_t length) {
  if (std::find(tags_.begin(), tags_.end(), tag) != tags_.end()) return false;
  tags_.push_back(tag);
  FieldHeader header{tag, type, length};
  auto* first = reinterpret_cast<const uint8_t*>(&header);
  bytes_.insert(bytes_.end(), first, first + sizeof header);
  auto* content = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), content, content + length);
  return true;
}

bool StateWriter::put_u64(uint32_t tag, uint64_t value) {
  return put(tag, kNumber, &value, sizeof value);
}
bool StateWriter::put_bytes(uint32_t tag, const void* data, uint64_t length) {
  return put(tag, kBytes, data, length);
}

Result<StateReader> StateReader::parse(std::span<const uint8_t> bytes) {
  StateReader reader;
  if (bytes.size() < sizeof reader.version_) return fail("the saved state of a device is cut off at its start.");
  std::memcpy(&reader.version_, bytes.data(), sizeof reader.version_);
  bytes = bytes.subspan(sizeof reader.version_);
  while (!bytes.empty()) {
    FieldHeader header;
    if (bytes.size() < sizeof header) return fail("the saved state of a device is cut off inside a field.");
    std::memcpy(&header, bytes.data(), sizeof header);
    bytes = bytes.subspan(sizeof header);
    if (header.length > bytes.size())
      return fail("field {} of a device's saved state has {} bytes, but only {} are left.", header.tag, header.length,
                  bytes.size());
    bool sound = header.type == kBytes || (header.type == kNumber && header.length == sizeof(uint64_t));
    if (!sound) return fail("field {} of a device's saved state is of unknown type {}.", header.tag, header.type);
    if (!reader.fields_.emplace(header.tag, Field{header.type, bytes.first(header.length)}).second)
      return fail("field {} is in a device's saved state twice.", header.tag);
    bytes = bytes.subspan(header.length);
  }
  return reader;
}

StateReader::Found StateReader::get_u64(uint32_t tag, uint64_t& value) const {
  auto found = fields_.find(tag);
  if (found == fields_.end()) return Found::No;
  if (found->second.type != kNumber) return Found::OtherType;
  std::memcpy(&value, found->second.bytes.data(), sizeof value);
  return Found::Yes;
}

StateReader::Found StateReader::get_bytes(uint32_t tag, std::span<const uint8_t>& bytes) const {
  auto found = fields_.find(tag);
  if (found == fields_.end()) return Found::No;
  if (found->second.type != kBytes) return Found::OtherType;
  bytes = found->second.bytes;
  return Found::Yes;
}

}  // namespace nacre
