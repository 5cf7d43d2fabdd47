// The fields of a device's saved state, as the host takes them apart before a device gets any of them.
#include "core/snapshot/device_state.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace nacre;
using fuzz::require;

// The fields in the reader's own order, which is that of their tags.
StateWriter written_again(const StateReader& reader, std::span<const uint8_t> whole) {
  StateWriter writer(reader.version());
  // Tags stand at the heads of fields: every place in the input that could be one.
  for (uint64_t at = 4; at + 16 <= whole.size(); ++at) {
    uint32_t tag;
    std::memcpy(&tag, whole.data() + at, sizeof tag);
    uint64_t number = 0;
    std::span<const uint8_t> bytes;
    const StateReader::Found as_number = reader.get_u64(tag, number), as_bytes = reader.get_bytes(tag, bytes);
    require((as_number == StateReader::Found::No) == (as_bytes == StateReader::Found::No), "a field is there or not");
    require(as_number != StateReader::Found::Yes || as_bytes == StateReader::Found::OtherType, "a field has one type");
    if (as_number == StateReader::Found::Yes) (void)writer.put_u64(tag, number);
    if (as_bytes != StateReader::Found::Yes) continue;
    require(bytes.empty() || (bytes.data() >= whole.data() && bytes.size() <= whole.size() &&
                              bytes.data() + bytes.size() <= whole.data() + whole.size()),
            "a field lies in the state");
    (void)writer.put_bytes(tag, bytes.data(), bytes.size());
  }
  return writer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> whole(data, size);
  const Result<StateReader> reader = StateReader::parse(whole);
  if (!reader) {
    fuzz::require_sentence(reader.error().message);
    return 0;
  }
  const StateWriter writer = written_again(*reader, whole);
  require(writer.bytes().size() == size, "what was taken apart is all that there was");
  require(bool(StateReader::parse(writer.bytes())), "what is written can be read");
  return 0;
}
