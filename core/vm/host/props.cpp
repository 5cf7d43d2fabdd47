#include <cstring>

#include "core/vm/host/services.hpp"

namespace nacre::services {
namespace {

nacre_status get_bool(nacre_instance* instance, const char* name, uint8_t* value) noexcept {
  bool found = false;
  nacre_status status = instance->properties.get_bool(name, found);
  if (status == NACRE_OK) *value = found;
  return status;
}

nacre_status get_u64(nacre_instance* instance, const char* name, uint64_t* value) noexcept {
  const nacre_status status = instance->properties.get_u64(name, *value);
  for (nacre_instance::Passed& passed : instance->passed)
    if (status == NACRE_OK && passed.property == name) (void)passed.fd.release();
  return status;
}

nacre_status get_string(nacre_instance* instance, const char* name, const char** value) noexcept {
  if (std::strcmp(name, "id") == 0) {
    *value = instance->id.c_str();
    return NACRE_OK;
  }
  return instance->properties.get_string(name, *value);
}

}  // namespace

const nacre_props_v1 kProps{sizeof(nacre_props_v1), 0, get_bool, get_u64, get_string};

}  // namespace nacre::services
