#include "core/plugin/negotiate.hpp"

#include <nacre/abi/note.h>

#include <cstring>

namespace nacre {
namespace {

const void* extensions(const char* id) noexcept {
  static const char kTable = 0;
  for (const char* known : {"nacre.log/1", "nacre.dma/1", "nacre.machine/1"})
    if (std::strcmp(id, known) == 0) return &kTable;
  return nullptr;
}

HostVersion host(uint16_t major, uint16_t minor) {
  nacre_host_hello hello{};
  hello.abi_major = major;
  hello.abi_minor = minor;
  hello.host_version = "5.0";
  hello.build_id[0] = 0x91;
  hello.get_extension = extensions;
  return HostVersion(hello);
}

Manifest plugin(uint16_t major, uint16_t built, uint16_t needed) {
  Manifest manifest;
  manifest.id = "org.x.foo";
  manifest.version = "1.2";
  manifest.abi_major = major;
  manifest.abi_minor_built = built;
  manifest.abi_minor_needed = needed;
  return manifest;
}

std::string verdict(const Manifest& manifest, const HostVersion& version) {
  Status status = negotiate(manifest, version);
  return status ? "accepted" : status.error().message;
}

TEST(Negotiate, DuringZeroTheMinorIsTheSame) {
  EXPECT_EQ(verdict(plugin(0, 2, 2), host(0, 2)), "accepted");
  EXPECT_EQ(verdict(plugin(0, 1, 1), host(0, 2)),
            "plugin 'org.x.foo' 1.2 was built with Nacre SDK 0.1; this VMM (Nacre 5.0) accepts SDK 0.2. Ask its vendor "
            "for a build against SDK 0.2.");
  EXPECT_EQ(verdict(plugin(0, 3, 3), host(0, 2)),
            "plugin 'org.x.foo' 1.2 was built with Nacre SDK 0.3; this VMM (Nacre 5.0) offers SDK 0.2. Rebuild it "
            "against SDK 0.2 or use a newer Nacre.");
  EXPECT_NE(verdict(plugin(0, 3, 2), host(0, 2)), "accepted");
  EXPECT_NE(verdict(plugin(1, 0, 0), host(0, 2)), "accepted");
}

TEST(Negotiate, FromOneOnTheHostsMinorMustDo) {
  EXPECT_EQ(verdict(plugin(3, 4, 4), host(3, 4)), "accepted");
  EXPECT_EQ(verdict(plugin(3, 1, 0), host(3, 4)), "accepted");
  EXPECT_EQ(verdict(plugin(3, 6, 4), host(3, 4)), "accepted");
  EXPECT_EQ(verdict(plugin(3, 6, 6), host(3, 4)),
            "plugin 'org.x.foo' 1.2 needs Nacre SDK 3.6 or later; this VMM (Nacre 5.0) offers 3.4. Use a newer Nacre.");
  EXPECT_EQ(verdict(plugin(1, 8, 0), host(3, 4)),
            "plugin 'org.x.foo' 1.2 was built with Nacre SDK 1.8; this VMM (Nacre 5.0) accepts SDK 3.x. Ask its vendor "
            "for a build against SDK 3.x.");
  EXPECT_EQ(
      verdict(plugin(4, 0, 0), host(3, 4)),
      "plugin 'org.x.foo' 1.2 was built with Nacre SDK 4.0; this VMM (Nacre 5.0) offers SDK 3.4. Rebuild it against "
      "SDK 3.x or use a newer Nacre.");
}

TEST(Negotiate, EveryRequiredServiceMustBeThere) {
  Manifest manifest = plugin(0, 1, 1);
  manifest.requires_extensions = {"nacre.log/1", "nacre.dma/2", "nacre.none/1"};
  EXPECT_EQ(verdict(manifest, host(0, 1)),
            "plugin 'org.x.foo' requires host feature 'nacre.dma/2', which this VMM does not offer (it offers "
            "nacre.dma/1).");
  manifest.requires_extensions = {"nacre.none/1"};
  EXPECT_EQ(verdict(manifest, host(0, 1)),
            "plugin 'org.x.foo' requires host feature 'nacre.none/1', which this VMM does not offer.");
  manifest.requires_extensions.clear();
  manifest.optional_extensions = {"nacre.none/1"};
  EXPECT_EQ(verdict(manifest, host(0, 1)), "accepted");
}

TEST(Negotiate, TheLockedTierBelongsToOneBuild) {
  Manifest manifest = plugin(0, 1, 1);
  manifest.requires_extensions = {"nacre.machine/1"};
  EXPECT_EQ(verdict(manifest, host(0, 1)),
            "plugin 'org.x.foo' requires host feature 'nacre.machine/1', which is still a draft: only plugins of tier "
            "locked may use it.");
  manifest.tier = NACRE_TIER_LOCKED;
  manifest.host_build_id[0] = 0x4f;
  EXPECT_EQ(
      verdict(manifest, host(0, 1)),
      "plugin 'org.x.foo' belongs to Nacre build 4f0000000000...; this is build 910000000000.... Locked plugins must "
      "come from the same package.");
  manifest.host_build_id[0] = 0x91;
  EXPECT_EQ(verdict(manifest, host(0, 1)), "accepted");
}

TEST(Negotiate, FlagsOfTheLowerHalfMustBeUnderstood) {
  Manifest manifest = plugin(0, 1, 1);
  manifest.flags =
      1u << 20 | NACRE_NOTE_NEEDS_KVM_FD | NACRE_NOTE_WANTS_THREAD | NACRE_NOTE_CAN_ISOLATE | NACRE_NOTE_HAS_STATE;
  EXPECT_EQ(verdict(manifest, host(0, 1)), "accepted");
  manifest.flags = 1u << 5;
  EXPECT_EQ(
      verdict(manifest, host(0, 1)),
      "plugin 'org.x.foo' 1.2 has flags 0x20 that this VMM (Nacre 5.0) does not know but would have to. Use a newer "
      "Nacre.");
}

}  // namespace
}  // namespace nacre
