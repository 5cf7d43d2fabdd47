// Whether this host can serve a plugin: decided from its note, before anything of it is mapped.
#pragma once

#include <nacre/abi/entry.h>

#include <string>

#include "core/base/result.hpp"
#include "core/plugin/manifest.hpp"

namespace nacre {

// The host's side of the negotiation.
struct HostVersion {
  explicit HostVersion(const nacre_host_hello& hello);

  uint16_t abi_major;
  uint16_t abi_minor;
  std::string version;
  std::array<uint8_t, 20> build_id;
  const void* (*get_extension)(const char* id) noexcept;
};

// Fails with the sentence for the user when the host cannot serve the plugin:
// - another major, or during 0.x another minor (each minor of 0.x may change everything);
// - from 1.0: a lowest minor that is above the host's. A plugin built with a newer minor that can do with the host's is
//   accepted: its newer fields lie beyond the size that it reads;
// - tier locked and another build of the host;
// - a service that it requires and the host has not, or one that is still a draft while its tier is stable;
// - a flag that must be understood and is not.
Status negotiate(const Manifest& manifest, const HostVersion& host);

}  // namespace nacre
