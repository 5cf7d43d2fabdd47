#include "tests/plugins/workshop.hpp"

#include <gtest/gtest.h>
#include <nacre/abi/registry.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error_slot.hpp"
#include "core/plugin/version.hpp"

namespace nacre::test {
namespace {

void set(nacre_error* slot, const char* text) noexcept {
  ErrorSlot::set(slot, text);
}
const char* text(const nacre_error* slot) noexcept {
  return slot->text;
}
const nacre_error_v1 kError{sizeof(nacre_error_v1), 0, set, text};

// A table with nothing behind it: enough for plugins that only ask whether it is there.
const uint64_t kEmpty[64] = {sizeof kEmpty};

const void* get_extension(const char* id) noexcept {
  if (std::strcmp(id, NACRE_EXT_ERROR) == 0) return &kError;
#define NACRE_OFFER(extension, table, draft) \
  if (std::strcmp(id, extension) == 0) return kEmpty;
  NACRE_EXTENSIONS(NACRE_OFFER)
#undef NACRE_OFFER
  return nullptr;
}

}  // namespace

Workshop::Workshop() {
  std::string name = testing::TempDir() + "nacre-plugins-XXXXXX";
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  path_ = std::filesystem::canonical(name);
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
}

Workshop::~Workshop() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Workshop::put(const std::string& name, const std::string& bytes) {
  const std::string temporary = path(".new");
  std::ofstream(temporary, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  std::filesystem::permissions(temporary, std::filesystem::perms(0644));
  std::filesystem::rename(temporary, path(name));
}

void Workshop::overwrite(const std::string& name, const std::string& bytes) {
  std::ofstream(path(name), std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void Workshop::put_fixture(const std::string& name, const std::string& as) {
  put(as, fixture(name));
}

std::string fixture(const std::string& name) {
  std::ifstream in(FIXTURE_DIRECTORY "/fixture-" + name + ".so", std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string with(std::string bytes, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  EXPECT_NE(bytes.find(from), std::string::npos) << from;
  for (size_t at = 0; (at = bytes.find(from, at)) != std::string::npos; at += to.size())
    bytes.replace(at, from.size(), to);
  return bytes;
}

std::string with_version(const std::string& name, const std::string& version) {
  const std::string end(1, '\0');
  return with(with(fixture(name), "\"version\":\"1.2\"", "\"version\":\"" + version + "\""), end + "1.2" + end,
              end + version + end);
}

const nacre_host_hello* hello() {
  static const nacre_host_hello kHello = [] {
    nacre_host_hello made{};
    made.size = sizeof made;
    made.abi_major = NACRE_ABI_MAJOR;
    made.abi_minor = NACRE_ABI_MINOR;
    made.host_name = "nacre";
    made.host_version = kHostVersion;
    std::memcpy(made.build_id, kHostBuildId, sizeof made.build_id);
    made.get_extension = get_extension;
    return made;
  }();
  return &kHello;
}

std::unique_ptr<Registry> registry(const std::string& directory, bool hotload) {
  RegistryOptions options;
  options.directories = {{directory, false}};
  options.hotload = hotload;
  return std::make_unique<Registry>(hello(), options);
}

std::string load(Registry& registry, const std::string& driver, uint32_t kind) {
  Result<LoadedType> loaded = registry.load(kind, driver);
  return loaded ? "(loaded)" : loaded.error().message;
}

OtherUser::OtherUser() : before_(geteuid()) {
  if (before_ == 0) {
    EXPECT_EQ(seteuid(65534), 0);
  }
}

OtherUser::~OtherUser() {
  if (before_ == 0) {
    EXPECT_EQ(seteuid(0), 0);
  }
}

}  // namespace nacre::test
