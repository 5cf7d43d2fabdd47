#include "core/plugin/negotiate.hpp"

#include <nacre/abi/note.h>
#include <nacre/abi/registry.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace nacre {
namespace {

// Bits of the half that must be understood which this host does.
constexpr uint32_t kKnownFlags = NACRE_NOTE_NEEDS_KVM_FD;
constexpr unsigned kMaxRevision = 16;

std::string hex(const std::array<uint8_t, 20>& id) {
  std::string text;
  for (size_t i = 0; i < 6; ++i) text += fmt::format("{:02x}", id[i]);
  return text + "...";
}

bool is_draft(const std::string& id) {
#define NACRE_IS_DRAFT(extension, table, draft) \
  if ((draft) && id == (extension)) return true;
  NACRE_EXTENSIONS(NACRE_IS_DRAFT)
#undef NACRE_IS_DRAFT
  return false;
}

// The revisions of a missing extension that the host has: "it offers nacre.dma/1".
std::string other_revisions(const std::string& id, const HostVersion& host) {
  std::string found;
  size_t slash = id.rfind('/');
  if (slash != std::string::npos)
    for (unsigned revision = 1; revision <= kMaxRevision; ++revision) {
      std::string other = id.substr(0, slash + 1) + std::to_string(revision);
      if (host.get_extension(other.c_str())) found += (found.empty() ? "" : ", ") + other;
    }
  return found.empty() ? "" : fmt::format(" (it offers {})", found);
}

Status check_version(const Manifest& plugin, const HostVersion& host) {
  const bool early = host.abi_major == 0;
  const bool other_minor = early && plugin.abi_major == 0 && plugin.abi_minor_built != host.abi_minor;
  const bool old = plugin.abi_major < host.abi_major || (other_minor && plugin.abi_minor_built < host.abi_minor);
  const std::string accepted = early ? fmt::format("0.{}", host.abi_minor) : fmt::format("{}.x", host.abi_major);
  if (old)
    return fail(
        "{} was built with Nacre SDK {}.{}; this VMM (Nacre {}) accepts SDK {}. Ask its vendor for a build "
        "against SDK {}.",
        plugin.title(), plugin.abi_major, plugin.abi_minor_built, host.version, accepted, accepted);
  if (plugin.abi_major > host.abi_major || other_minor)
    return fail(
        "{} was built with Nacre SDK {}.{}; this VMM (Nacre {}) offers SDK {}.{}. Rebuild it against SDK {} or "
        "use a newer Nacre.",
        plugin.title(), plugin.abi_major, plugin.abi_minor_built, host.version, host.abi_major, host.abi_minor,
        accepted);
  if (plugin.abi_minor_needed > host.abi_minor)
    return fail("{} needs Nacre SDK {}.{} or later; this VMM (Nacre {}) offers {}.{}. Use a newer Nacre.",
                plugin.title(), plugin.abi_major, plugin.abi_minor_needed, host.version, host.abi_major,
                host.abi_minor);
  return {};
}

}  // namespace

HostVersion::HostVersion(const nacre_host_hello& hello)
    : abi_major(hello.abi_major),
      abi_minor(hello.abi_minor),
      version(hello.host_version ? hello.host_version : ""),
      get_extension(hello.get_extension) {
  std::copy(std::begin(hello.build_id), std::end(hello.build_id), build_id.begin());
}

Status negotiate(const Manifest& plugin, const HostVersion& host) {
  if (Status version = check_version(plugin, host); !version) return version;
  if (uint32_t unknown = plugin.flags & NACRE_MUST_UNDERSTAND & ~kKnownFlags)
    return fail("{} has flags {:#x} that this VMM (Nacre {}) does not know but would have to. Use a newer Nacre.",
                plugin.title(), unknown, host.version);
  if (plugin.tier > NACRE_TIER_LOCKED)
    return fail("{} is of tier {}, which this VMM (Nacre {}) does not know. Use a newer Nacre.", plugin.title(),
                plugin.tier, host.version);
  if (plugin.tier == NACRE_TIER_LOCKED && plugin.host_build_id != host.build_id)
    return fail(
        "plugin '{}' belongs to Nacre build {}; this is build {}. Locked plugins must come from the same "
        "package.",
        plugin.id, hex(plugin.host_build_id), hex(host.build_id));
  for (const std::string& id : plugin.requires_extensions) {
    if (!host.get_extension(id.c_str()))
      return fail("plugin '{}' requires host feature '{}', which this VMM does not offer{}.", plugin.id, id,
                  other_revisions(id, host));
    if (plugin.tier != NACRE_TIER_LOCKED && is_draft(id))
      return fail(
          "plugin '{}' requires host feature '{}', which is still a draft: only plugins of tier locked may use "
          "it.",
          plugin.id, id);
  }
  return {};
}

}  // namespace nacre
