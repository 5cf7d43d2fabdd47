// `nacre plugin new`: a project out of the templates that come with the SDK.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <climits>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/base/suggest.hpp"
#include "core/cli/plugin_command.hpp"
#include "core/plugin/manifest.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/plugin_back_end.hpp"

#ifndef NACRE_TEMPLATES
#error "the build says where installed templates are, from the folder of the program on"
#endif

namespace nacre::cli {
namespace {

namespace files = std::filesystem;

const std::array<std::string, 6> kKinds = {"virtio-device", "pci-device", "mmio-device", "block", "net", "chardev"};
// Names of CMake's own targets, which a project's plugin cannot have.
constexpr std::string_view kTaken[] = {"all",  "ALL_BUILD", "clean",   "depend",     "edit_cache",    "help",
                                       "test", "install",   "package", "preinstall", "rebuild_cache", "src"};

bool is_word(std::string_view text) {
  return !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

// As nacre_add_plugin() wants it: words with dots between them.
Status check_id(const std::string& id) {
  if (id.empty())
    return fail("'new' needs an id for the plugin: write 'nacre plugin new org.example.my-device --kind KIND'.");
  bool proper = id.size() <= 128 && id.find('.') != std::string::npos;
  std::string_view rest = id;
  for (size_t dot = 0; proper && dot != std::string_view::npos;) {
    dot = rest.find('.');
    proper = is_word(rest.substr(0, dot));
    if (dot != std::string_view::npos) rest.remove_prefix(dot + 1);
  }
  if (!proper)
    return fail(
        "'{}' is not a plugin id: write at least two words of letters, digits, '-' and '_' with dots between "
        "them, your domain backwards and a name, as in org.example.my-device.",
        id);
  if (!std::isalpha(static_cast<unsigned char>(rest[0])))
    return fail("the last word of '{}' becomes the driver's name and must begin with a letter.", id);
  if (std::find(std::begin(kTaken), std::end(kTaken), rest) != std::end(kTaken))
    return fail("the last word of '{}' becomes the driver's name, and CMake keeps '{}' for itself: take another.", id,
                rest);
  return {};
}

Status check_kind(const std::string& kind) {
  if (kind.empty()) return fail("'new' needs '--kind KIND', one of: {}.", project_kinds());
  if (std::find(kKinds.begin(), kKinds.end(), kind) != kKinds.end()) return {};
  return fail("there is no kind '{}'; the kinds are: {}.{}", kind, project_kinds(), did_you_mean(kind, kKinds));
}

// A driver of that name would be in another plugin's way, or in that of what needs none.
Status check_name(const std::string& kind, const std::string& name) {
  uint32_t number = NACRE_KIND_DEVICE;
  for (uint32_t one : {NACRE_KIND_BLOCK, NACRE_KIND_NET, NACRE_KIND_CHARDEV})
    if (kind == kind_name(one)) number = one;
  const std::vector<std::string> own = built_in_back_ends(number);
  if (std::find(own.begin(), own.end(), name) != own.end())
    return fail("'{}' is built in already: take another last word for the id.", name);
  Registry known(&services::hello(), {});
  if (!known.start()) return {};
  for (const DriverInfo& driver : known.drivers(number))
    if (driver.name == name || std::count(driver.aliases.begin(), driver.aliases.end(), name))
      return fail("'{}' is a {} of '{}' ({}) already: take another last word for the id.", name, kind_name(number),
                  driver.plugin_id, driver.path);
  return {};
}

// my-device: MyDevice.
std::string class_name(std::string_view name) {
  std::string text;
  bool begins = true;
  for (char c : name) {
    if (c != '-' && c != '_') text += begins ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    begins = c == '-' || c == '_';
  }
  return text;
}

// Where the kind's files are: in the build tree beside the program, else where they are installed with it.
Result<files::path> find_template(const std::string& kind) {
  char executable[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", executable, sizeof executable);
  const files::path folder =
      files::path(std::string(executable, static_cast<size_t>(std::max<ssize_t>(length, 0)))).parent_path();
  const files::path installed = (folder / NACRE_TEMPLATES).lexically_normal();
  std::error_code error;
  for (const files::path& place : {folder / "template", installed})
    if (files::is_directory(place / kind, error)) return place / kind;
  return fail("the templates of the SDK are not at '{}': install the package nacre-sdk.", installed.string());
}

std::string filled_in(std::string text, const std::string& id, const std::string& name) {
  const std::pair<std::string_view, std::string> words[] = {
      {"@id@", id}, {"@name@", name}, {"@Class@", class_name(name)}};
  for (const auto& [mark, word] : words)
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += word.size())
      text.replace(at, mark.size(), word);
  return text;
}

Status write(const files::path& from, const files::path& to, const std::string& id, const std::string& name) {
  std::ostringstream text;
  text << std::ifstream(from).rdbuf();
  if (text.str().empty()) return fail("cannot read the template '{}'.", from.string());
  std::error_code error;
  files::create_directories(to.parent_path(), error);
  if (error) return fail("cannot make the directory '{}': {}.", to.parent_path().string(), error.message());
  std::ofstream out(to);
  out << filled_in(text.str(), id, name);
  out.close();
  return out ? Status() : Status(fail("cannot write '{}'.", to.string()));
}

}  // namespace

std::string project_kinds() {
  std::string text;
  for (const std::string& kind : kKinds) text += (text.empty() ? "" : ", ") + kind;
  return text;
}

Result<std::string> write_project(const ProjectRequest& request) {
  if (Status checked = check_id(request.id); !checked) return checked.error();
  if (Status checked = check_kind(request.kind); !checked) return checked.error();
  const std::string name = request.id.substr(request.id.rfind('.') + 1);
  if (Status checked = check_name(request.kind, name); !checked) return checked.error();
  Result<files::path> from = find_template(request.kind);
  if (!from) return from.error();

  const files::path directory = request.directory.empty() ? name : request.directory;
  std::error_code error;
  if (files::exists(directory, error) && !files::is_empty(directory, error))
    return fail("'{}' exists already; say where else with --output DIR.", directory.string());
  std::vector<files::path> sources;
  for (auto entry = files::recursive_directory_iterator(*from, error);
       !error && entry != files::recursive_directory_iterator(); entry.increment(error))
    if (entry->is_regular_file()) sources.push_back(entry->path());
  if (error) return fail("cannot read the templates in '{}': {}.", from->string(), error.message());
  std::sort(sources.begin(), sources.end());

  std::string text =
      fmt::format("{}, a {}{}:\n", request.id, request.kind, request.kind.ends_with("-device") ? "" : " back end");
  for (const files::path& source : sources) {
    const files::path to = directory / source.lexically_relative(*from);
    if (Status written = write(source, to, request.id, name); !written) return written.error();
    text += fmt::format("  {}\n", to.string());
  }
  return text + fmt::format(
                    "Now: cd '{}' && cmake -B build && cmake --build build && nacre plugin doctor "
                    "build/plugins/{}.so\n",
                    directory.string(), name);
}

}  // namespace nacre::cli
