// One field of the SMBIOS tables that the user wants the guest to read.
#pragma once

#include <cstdint>
#include <string>

namespace nacre {

struct SmbiosField {
  uint32_t type;            // of the structure
  std::string name, value;  // as -smbios has them; both empty: the type was given without a field
};

}  // namespace nacre
