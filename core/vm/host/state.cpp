#include "core/snapshot/device_state.hpp"
#include "core/vm/host/services.hpp"

// The handles of plugins are the snapshot room's classes.
struct nacre_state_writer : nacre::StateWriter {};
struct nacre_state_reader : nacre::StateReader {};

namespace nacre::services {
namespace {

nacre_status to_status(StateReader::Found found) {
  switch (found) {
    case StateReader::Found::Yes:
      return NACRE_OK;
    case StateReader::Found::No:
      return NACRE_NOT_FOUND;
    case StateReader::Found::OtherType:
      break;
  }
  return NACRE_INVALID;
}

nacre_status put_u64(nacre_state_writer* out, uint32_t tag, uint64_t value) noexcept {
  return out->put_u64(tag, value) ? NACRE_OK : NACRE_INVALID;
}
nacre_status put_bytes(nacre_state_writer* out, uint32_t tag, const void* data, uint64_t length) noexcept {
  return out->put_bytes(tag, data, length) ? NACRE_OK : NACRE_INVALID;
}
nacre_status get_u64(nacre_state_reader* in, uint32_t tag, uint64_t* value) noexcept {
  return to_status(in->get_u64(tag, *value));
}
nacre_status get_bytes(nacre_state_reader* in, uint32_t tag, const void** data, uint64_t* length) noexcept {
  std::span<const uint8_t> bytes;
  nacre_status status = to_status(in->get_bytes(tag, bytes));
  if (status == NACRE_OK) {
    *data = bytes.data();
    *length = bytes.size();
  }
  return status;
}
uint32_t version(nacre_state_reader* in) noexcept {
  return in->version();
}

}  // namespace

const nacre_state_v1 kState{sizeof(nacre_state_v1), 0, put_u64, put_bytes, get_u64, get_bytes, version};

}  // namespace nacre::services
