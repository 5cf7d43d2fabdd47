#include "core/plugin/manifest.hpp"

#include <nacre/abi/entry.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <string_view>

namespace nacre {
namespace {

namespace json = boost::json;

constexpr size_t kMaxText = 256;
constexpr size_t kMaxItems = 128;
constexpr size_t kMaxDepth = 8;

struct KindName {
  uint32_t kind;
  const char* name;
};
constexpr KindName kKinds[] = {{NACRE_KIND_DEVICE, "device"},
                               {NACRE_KIND_MACHINE, "machine"},
                               {NACRE_KIND_BLOCK, "block"},
                               {NACRE_KIND_NET, "net"},
                               {NACRE_KIND_CHARDEV, "chardev"}};

// Nothing that could forge lines of a log or move a terminal's cursor.
bool is_text(std::string_view text) {
  return text.size() <= kMaxText &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxText && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '/';
  });
}

// Reads members of one object of the note and keeps the first complaint.
class Reader {
 public:
  Reader(const json::object& object, std::string& complaint) : object_(object), complaint_(complaint) {}

  std::string text(const char* key, bool needed, bool (*check)(std::string_view)) {
    const json::value* value = object_.if_contains(key);
    if (!value) {
      if (needed) complain(fmt::format("'{}' is missing", key));
      return {};
    }
    const json::string* found = value->if_string();
    if (!found || !check(*found)) {
      complain(fmt::format("'{}' is not a proper text", key));
      return {};
    }
    return std::string(*found);
  }

  std::vector<std::string> names(const char* key) {
    std::vector<std::string> found;
    const json::array* array = list(key);
    if (!array) return found;
    for (const json::value& value : *array) {
      const json::string* name = value.if_string();
      if (!name || !is_name(*name)) {
        complain(fmt::format("'{}' holds something that is not a name", key));
        break;
      }
      found.emplace_back(*name);
    }
    return found;
  }

  const json::array* list(const char* key) {
    const json::value* value = object_.if_contains(key);
    if (!value) return nullptr;
    const json::array* array = value->if_array();
    if (!array || array->size() > kMaxItems) {
      complain(fmt::format("'{}' is not a list of at most {} items", key, kMaxItems));
      return nullptr;
    }
    return array;
  }

  void complain(std::string words) {
    if (complaint_.empty()) complaint_ = std::move(words);
  }

 private:
  const json::object& object_;
  std::string& complaint_;
};

ProvidedType read_provided(const json::object& object, std::string& complaint) {
  Reader reader(object, complaint);
  ProvidedType type{};
  std::string kind = reader.text("kind", true, is_name);
  for (const KindName& known : kKinds)
    if (kind == known.name) type.kind = known.kind;
  if (type.kind == 0) reader.complain(fmt::format("'{}' is no kind of driver that this VMM knows", kind));
  type.name = reader.text("name", true, is_name);
  type.bus = reader.text("bus", false, is_name);
  type.aliases = reader.names("aliases");
  return type;
}

std::string read_manifest(const json::value& root, Manifest& manifest) {
  std::string complaint;
  const json::object* object = root.if_object();
  if (!object) return "it is not an object";
  Reader reader(*object, complaint);
  manifest.id = reader.text("id", true, is_name);
  manifest.version = reader.text("version", true, is_text);
  manifest.name = reader.text("name", false, is_text);
  manifest.vendor = reader.text("vendor", false, is_text);
  manifest.license = reader.text("license", false, is_text);
  manifest.homepage = reader.text("homepage", false, is_text);
  manifest.support = reader.text("support", false, is_text);
  manifest.requires_extensions = reader.names("requires");
  manifest.optional_extensions = reader.names("optional");
  if (const json::value* sandbox = object->if_contains("sandbox")) {
    if (const json::object* wishes = sandbox->if_object())
      manifest.system_calls = Reader(*wishes, complaint).names("system-calls");
    else
      reader.complain("'sandbox' is not an object");
  }
  const json::array* provides = reader.list("provides");
  if (!provides || provides->empty()) {
    reader.complain("'provides' names no driver");
    return complaint;
  }
  for (const json::value& value : *provides) {
    const json::object* item = value.if_object();
    if (!item) {
      reader.complain("'provides' holds something that is not an object");
      break;
    }
    manifest.provides.push_back(read_provided(*item, complaint));
  }
  return complaint;
}

}  // namespace

bool ProvidedType::answers_to(const std::string& word) const {
  return word == name || std::find(aliases.begin(), aliases.end(), word) != aliases.end();
}

std::string Manifest::title() const {
  return fmt::format("plugin '{}' {}", id, version);
}

const char* kind_name(uint32_t kind) {
  for (const KindName& known : kKinds)
    if (kind == known.kind) return known.name;
  return "driver";
}

Result<Manifest> parse_manifest(const PluginNote& note, const std::string& path) {
  Manifest manifest;
  manifest.abi_major = note.head.abi_major;
  manifest.abi_minor_built = note.head.abi_minor_built;
  manifest.abi_minor_needed = note.head.abi_minor_needed;
  manifest.tier = note.head.tier;
  manifest.flags = note.head.flags;
  std::copy(std::begin(note.head.host_build_id), std::end(note.head.host_build_id), manifest.host_build_id.begin());

  std::string complaint;
  try {
    // Most notes fit here, so that a scan asks nothing of the heap for them.
    unsigned char buffer[8192];
    json::monotonic_resource memory(buffer, sizeof buffer);
    json::parse_options options;
    options.max_depth = kMaxDepth;
    json::error_code error;
    json::value root = json::parse(note.json, error, &memory, options);
    complaint = error ? "it is not JSON" : read_manifest(root, manifest);
  } catch (const std::exception&) {
    complaint = "there is no memory to read it";
  }
  if (!complaint.empty())
    return fail("'{}' has a damaged plugin note: its description is not valid: {}.", path, complaint);
  return manifest;
}

}  // namespace nacre
