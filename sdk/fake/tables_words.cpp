// What passes between plugin and host in words and values: the log, errors, properties, state.
#include <cstring>
#include <nacre/fake/host.hpp>
#include <nacre/mutex.hpp>

#include "tables.hpp"

namespace nacre::fake {
namespace {

void write_log(nacre_instance* instance, uint32_t level, const char* text) noexcept {
  if (level < NACRE_LOG_ERROR || level > NACRE_LOG_TRACE) offend("a line was logged with an unknown level");
  static nacre::sdk::Mutex mutex;  // every thread may
  nacre::sdk::MutexLock lock(mutex);
  if (instance) instance->log.emplace_back(text);
}
uint8_t log_enabled(uint32_t) noexcept {
  return 1;
}

void set_error(nacre_error* slot, const char* text) noexcept {
  if (slot) std::snprintf(slot->text, sizeof slot->text, "%s", text ? text : "");
}
const char* error_text(const nacre_error* slot) noexcept {
  return slot ? slot->text : "";
}

const Value* find(nacre_instance* instance, const char* name) {
  auto found = instance->properties.find(name);
  return found == instance->properties.end() ? nullptr : &found->second;
}

nacre_status get_bool(nacre_instance* instance, const char* name, uint8_t* value) noexcept {
  const Value* found = find(instance, name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type != NACRE_PROP_BOOL) return NACRE_INVALID;
  *value = found->number != 0;
  return NACRE_OK;
}

nacre_status get_u64(nacre_instance* instance, const char* name, uint64_t* value) noexcept {
  const Value* found = find(instance, name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type != NACRE_PROP_U64 && found->type != NACRE_PROP_SIZE && found->type != NACRE_PROP_PCI_ADDR &&
      found->type != NACRE_PROP_FD)
    return NACRE_INVALID;
  *value = found->number;
  return NACRE_OK;
}

nacre_status get_string(nacre_instance* instance, const char* name, const char** value) noexcept {
  const Value* found = find(instance, name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type == NACRE_PROP_BOOL || found->type == NACRE_PROP_U64 || found->type == NACRE_PROP_SIZE)
    return NACRE_INVALID;
  *value = found->text.c_str();
  return NACRE_OK;
}

nacre_status put_u64(nacre_state_writer* out, uint32_t tag, uint64_t value) noexcept {
  std::string bytes(reinterpret_cast<const char*>(&value), sizeof value);
  if (!out->fields.emplace(tag, std::pair(true, bytes)).second) out->twice = true;
  return out->twice ? NACRE_INVALID : NACRE_OK;
}
nacre_status put_bytes(nacre_state_writer* out, uint32_t tag, const void* data, uint64_t length) noexcept {
  std::string bytes(static_cast<const char*>(data), length);
  if (!out->fields.emplace(tag, std::pair(false, bytes)).second) out->twice = true;
  return out->twice ? NACRE_INVALID : NACRE_OK;
}
nacre_status get_field(nacre_state_reader* in, uint32_t tag, bool number, const std::string** bytes) {
  auto found = in->fields.find(tag);
  if (found == in->fields.end()) return NACRE_NOT_FOUND;
  if (found->second.first != number) return NACRE_INVALID;
  *bytes = &found->second.second;
  return NACRE_OK;
}
nacre_status get_state_u64(nacre_state_reader* in, uint32_t tag, uint64_t* value) noexcept {
  const std::string* bytes;
  const nacre_status status = get_field(in, tag, true, &bytes);
  if (status == NACRE_OK) std::memcpy(value, bytes->data(), sizeof *value);
  return status;
}
nacre_status get_bytes(nacre_state_reader* in, uint32_t tag, const void** data, uint64_t* length) noexcept {
  const std::string* bytes;
  const nacre_status status = get_field(in, tag, false, &bytes);
  if (status == NACRE_OK) *data = bytes->data(), *length = bytes->size();
  return status;
}
uint32_t state_version(nacre_state_reader* in) noexcept {
  return in->version;
}

}  // namespace

const nacre_log_v1 kLog{sizeof(nacre_log_v1), 0, write_log, log_enabled};
const nacre_error_v1 kError{sizeof(nacre_error_v1), 0, set_error, error_text};
const nacre_props_v1 kProps{sizeof(nacre_props_v1), 0, get_bool, get_u64, get_string};
const nacre_state_v1 kState{sizeof(nacre_state_v1), 0, put_u64, put_bytes, get_state_u64, get_bytes, state_version};

}  // namespace nacre::fake
