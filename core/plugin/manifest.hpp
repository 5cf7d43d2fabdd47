// What a plugin says about itself in its note, parsed and bounded.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/plugin/elf_note.hpp"

namespace nacre {

// One driver or machine type on offer.
struct ProvidedType {
  uint32_t kind;  // NACRE_KIND_*
  std::string name;
  std::vector<std::string> aliases;
  std::string bus;  // empty for machines

  bool answers_to(const std::string& word) const;
};

struct Manifest {
  uint16_t abi_major = 0;
  uint16_t abi_minor_built = 0;
  uint16_t abi_minor_needed = 0;
  uint8_t tier = 0;  // NACRE_TIER_*
  uint32_t flags = 0;
  std::array<uint8_t, 20> host_build_id{};
  std::string id, name, version, vendor, license, homepage, support;
  std::vector<ProvidedType> provides;
  std::vector<std::string> requires_extensions;
  std::vector<std::string> optional_extensions;
  std::vector<std::string> system_calls;  // by name, those that it makes beyond what the sandbox allows everybody

  // In words: "plugin 'org.example.foo' 1.2".
  std::string title() const;
};

// "device", "machine", ... for NACRE_KIND_*.
const char* kind_name(uint32_t kind);

// Returns the manifest in a note. Fails with a sentence when a member is missing, of another type, too long or holds
// control characters. `path` is for the words only.
Result<Manifest> parse_manifest(const PluginNote& note, const std::string& path);

}  // namespace nacre
