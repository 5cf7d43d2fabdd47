#include "core/plugin/registry.hpp"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "core/base/log.hpp"
#include "core/base/suggest.hpp"
#include "core/plugin/bus_names.hpp"
#include "core/plugin/elf_note.hpp"
#include "core/plugin/module.hpp"
#include "core/plugin/registry_file.hpp"
#include "core/plugin/version.hpp"

namespace nacre {
namespace {

// "a reason." as the part of a sentence after a colon, without the file's name that begins it.
std::string as_clause(const std::string& reason, const std::string& path) {
  std::string clause = reason;
  const std::string prefix = "'" + path + "' ";
  if (clause.rfind(prefix, 0) == 0) clause = "it " + clause.substr(prefix.size());
  return clause;
}

const nacre_type* type_of(const nacre_plugin& plugin, uint32_t kind, const std::string& name) {
  for (uint32_t i = 0; i < plugin.n_types; ++i)
    if (const nacre_type* type = plugin.types[i]; type && type->kind == kind && type->name && name == type->name)
      return type;
  return nullptr;
}

std::string stem_of(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  return name.substr(0, name.size() - std::min<size_t>(name.size(), 3));
}

}  // namespace

const char* state_name(PluginState state) {
  switch (state) {
    case PluginState::Scanned:
      return "scanned";
    case PluginState::Rejected:
      return "rejected";
    case PluginState::Mapped:
      return "mapped";
    case PluginState::Initialised:
      return "initialised";
    case PluginState::Failed:
      return "failed";
    default:
      return "disabled";
  }
}

std::vector<PluginDirectoryOption> default_plugin_directories() {
  std::vector<PluginDirectoryOption> directories;
  if (const char* listed = secure_getenv("NACRE_PLUGIN_DIR"); listed && *listed) {
    std::string_view rest = listed;
    while (!rest.empty()) {
      size_t colon = rest.find(':');
      if (std::string_view one = rest.substr(0, colon); !one.empty()) directories.push_back({std::string(one), false});
      rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
    }
    return directories;
  }
  char executable[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", executable, sizeof executable);
  if (length > 0) {
    std::string beside(executable, static_cast<size_t>(length));
    beside = beside.substr(0, beside.rfind('/')) + "/plugins";
    if (access(beside.c_str(), R_OK | X_OK) == 0) return {{beside, false}};
  }
  return {{kInstalledPluginDirectory, false}};
}

Registry::Registry(const nacre_host_hello* host, RegistryOptions options)
    : host_(host), version_(*host), options_(std::move(options)) {
  if (options_.directories.empty()) {
    options_.directories = default_plugin_directories();
    default_directories_ = true;
  }
}

Registry::~Registry() = default;

Status Registry::start() {
  if (started_) return {};
  if (Status scanned = scan(); !scanned) return scanned;
  started_ = true;
  if (options_.hotload) return {};
  for (auto& file : files_)
    if (file->usable() && !file->mapped())
      if (Status mapped = map(*file); !mapped) log::warn("plugin", "{}", mapped.error().message);
  sealed_ = true;
  return {};
}

Status Registry::scan() {
  Status outcome;
  std::vector<std::string> seen;
  for (const PluginDirectoryOption& option : options_.directories) {
    Result<PluginDirectory> directory = open_plugin_directory(option.path, option.insecure);
    if (!directory) {
      // The user's own directories must be right. The default one need not be there.
      if (!default_directories_ && outcome) outcome = directory.error();
      if (default_directories_ && access(option.path.c_str(), F_OK) == 0)
        log::warn("plugin", "{}", directory.error().message);
      continue;
    }
    for (const std::string& warning : directory->warnings)
      if (!started_) log::warn("plugin", "{}", warning);
    for (const std::string& name : directory->names) {
      Result<PluginFile> opened = open_plugin_file(*directory, name);
      auto file = std::make_unique<File>();
      if (opened) {
        file->path = opened->path;
        file->fd = std::move(opened->fd);
        file->size = opened->size;
        file->device = opened->device;
        file->inode = opened->inode;
      } else {
        file->path = (directory->path == "/" ? "" : directory->path) + "/" + name;
        file->state = PluginState::Rejected;
        file->reason = opened.error().message;
      }
      seen.push_back(file->path);
      take_in(std::move(file));
    }
  }
  // What has gone from the directories is forgotten, unless its code is in use.
  std::erase_if(files_, [&](auto& file) {
    return !file->mapped() && std::find(seen.begin(), seen.end(), file->path) == seen.end() &&
           file->state != PluginState::Disabled;
  });
  settle_duplicate_ids();
  return outcome;
}

void Registry::take_in(std::unique_ptr<File> file) {
  for (auto& known : files_) {
    bool same = file->inode != 0 && known->device == file->device && known->inode == file->inode;
    // One file under two names (a hard link, a directory given twice) is one plugin.
    if (same && (known->mapped() || known->path != file->path || known->state == PluginState::Disabled)) return;
  }
  for (auto& known : files_)
    if (known->path == file->path && known->mapped()) known->replaced = true;
  std::erase_if(files_, [&](auto& known) { return known->path == file->path && !known->mapped(); });

  if (file->state != PluginState::Rejected) {
    auto reject = [&](const Error& error) {
      file->state = PluginState::Rejected;
      file->reason = error.message;
      file->fd.close();
    };
    Result<PluginNote> note = read_plugin_note(file->fd.get(), file->size, file->path);
    if (!note) {
      reject(note.error());
    } else if (Result<Manifest> manifest = parse_manifest(*note, file->path); !manifest) {
      reject(manifest.error());
    } else {
      file->manifest = std::move(*manifest);
      if (Status accepted = negotiate(file->manifest, version_); !accepted) reject(accepted.error());
    }
  }
  files_.push_back(std::move(file));
}

bool Registry::preferred(const File& file) const {
  return std::any_of(options_.prefer.begin(), options_.prefer.end(),
                     [&](const std::string& word) { return word == file.path || word == file.manifest.id; });
}

void Registry::settle_duplicate_ids() {
  std::sort(files_.begin(), files_.end(), [](auto& a, auto& b) { return a->path < b->path; });
  for (size_t i = 0; i < files_.size(); ++i) {
    File& first = *files_[i];
    if (!first.usable()) continue;
    for (size_t j = i + 1; j < files_.size(); ++j) {
      File& second = *files_[j];
      if (!second.usable() || first.manifest.id != second.manifest.id) continue;
      const std::string reason = fmt::format(
          "plugin id '{}' is found twice: {} ({}) and {} ({}). Neither was used. Remove one or pass -plugin "
          "prefer=<path>.",
          first.manifest.id, first.path, first.manifest.version, second.path, second.manifest.version);
      // The one whose code runs, or that the user chose, stays.
      bool keep_first = first.mapped() || std::count(options_.prefer.begin(), options_.prefer.end(), first.path) != 0;
      bool keep_second =
          second.mapped() || std::count(options_.prefer.begin(), options_.prefer.end(), second.path) != 0;
      auto drop = [&](File& file, bool keep) {
        if (keep) return;
        file.state = PluginState::Rejected;
        file.duplicate = true;
        file.reason = reason;
        file.fd.close();
      };
      drop(second, keep_second && !keep_first);
      drop(first, keep_first);
      if (!first.usable()) break;
    }
  }
}

std::vector<Registry::File*> Registry::providers(uint32_t kind, const std::string& name) const {
  std::vector<File*> found;
  for (const auto& file : files_)
    if (file->usable())
      for (const ProvidedType& type : file->manifest.provides)
        if (type.kind == kind && type.answers_to(name)) {
          found.push_back(file.get());
          break;
        }
  return found;
}

bool Registry::offers(uint32_t kind, const std::string& name) {
  return start() && !providers(kind, name).empty();
}

Result<LoadedType> Registry::load(uint32_t kind, const std::string& name, const std::string& plugin) {
  if (Status ready = start(); !ready) return ready.error();
  std::vector<File*> found = providers(kind, name);
  if (found.empty() && !sealed_) {
    // A plugin may have been installed since. A directory that has gone bad meanwhile does not matter here.
    if (Status scanned = scan(); !scanned) log::warn("plugin", "{}", scanned.error().message);
    found = providers(kind, name);
  }
  if (!plugin.empty())
    std::erase_if(found, [&](File* file) { return file->manifest.id != plugin; });
  else if (found.size() > 1 && std::any_of(found.begin(), found.end(), [&](File* file) { return preferred(*file); }))
    std::erase_if(found, [&](File* file) { return !preferred(*file); });
  if (found.empty()) {
    if (!plugin.empty()) return fail("{} '{}' is not provided by a plugin '{}'.", kind_name(kind), name, plugin);
    return unknown(kind, name);
  }
  if (found.size() > 1) {
    const File &first = *found[0], &second = *found[1];
    return fail("driver '{}' is offered by '{}' ({}) and '{}' ({}). Choose with -{} {},plugin={}.", name,
                first.manifest.id, first.path, second.manifest.id, second.path, kind_name(kind), name,
                first.manifest.id);
  }
  File& file = *found.front();
  if (!file.mapped()) {
    if (sealed_)
      return fail(
          "cannot load '{}' now: the sandbox forbids new code. Start with -plugin-hotload on, or name it with "
          "-plugin at start.",
          file.manifest.id);
    if (Status mapped = map(file); !mapped) return mapped.error();
  }
  for (const ProvidedType& type : file.manifest.provides)
    if (type.kind == kind && type.answers_to(name))
      return LoadedType{type_of(*file.plugin, kind, type.name), file.manifest.id, file.path};
  return unknown(kind, name);
}

Status Registry::map(File& file) {
  auto failed = [&](const Error& error) {
    file.state = PluginState::Failed;
    file.reason = error.message;
    return error;
  };
  Result<const nacre_plugin*> plugin = map_plugin(std::move(file.fd), file.size, file.path, file.manifest, host_);
  if (!plugin) return failed(plugin.error());
  file.plugin = *plugin;
  file.state = PluginState::Mapped;
  if (Status started = initialise_plugin(*file.plugin); !started) return failed(started.error());
  file.state = PluginState::Initialised;
  return {};
}

Result<std::string> Registry::load_file(const std::string& path) {
  if (Status ready = start(); !ready) return ready.error();
  size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  bool insecure = std::any_of(options_.directories.begin(), options_.directories.end(),
                              [&](auto& option) { return option.insecure && option.path == parent; });
  Result<PluginDirectory> directory = open_plugin_directory(parent, insecure);
  if (!directory) return directory.error();
  if (access(path.c_str(), F_OK) != 0) {
    std::string others;
    for (const std::string& other : directory->names) others += (others.empty() ? "" : ", ") + other;
    return fail("plugin file '{}' does not exist. (Directory '{}' holds: {}.)", path, parent,
                others.empty() ? "no plugins" : others);
  }
  Result<PluginFile> opened = open_plugin_file(*directory, name);
  if (!opened) return opened.error();
  const dev_t device = opened->device;
  const ino_t inode = opened->inode;
  auto taken = std::make_unique<File>();
  taken->path = opened->path;
  taken->fd = std::move(opened->fd);
  taken->size = opened->size;
  taken->device = device;
  taken->inode = inode;
  take_in(std::move(taken));
  settle_duplicate_ids();
  for (auto& file : files_) {
    if (file->device != device || file->inode != inode) continue;
    if (!file->usable()) return fail("{}", file->reason);
    if (!file->mapped()) {
      if (sealed_)
        return fail(
            "cannot load '{}' now: the sandbox forbids new code. Start with -plugin-hotload on, or name it with "
            "-plugin at start.",
            file->manifest.id);
      if (Status mapped = map(*file); !mapped) return mapped.error();
    }
    return file->manifest.id;
  }
  return fail("plugin file '{}' vanished while it was being loaded.", path);
}

Result<std::string> Registry::disable(const std::string& plugin_id, size_t devices) {
  std::vector<std::string> ids;
  for (auto& file : files_) {
    if (file->manifest.id.empty()) continue;
    ids.push_back(file->manifest.id);
    if (file->manifest.id != plugin_id || file->state == PluginState::Rejected || file->state == PluginState::Disabled)
      continue;
    if (devices != 0)
      return fail("plugin '{}' is in use: {} of its devices exist. Remove them first, with device_del.", plugin_id,
                  devices);
    bool mapped = file->mapped();
    file->state = PluginState::Disabled;
    file->reason = mapped ? fmt::format(
                                "plugin code stays mapped until exit; all {} devices of '{}' are gone and its "
                                "name is free for another file.",
                                devices, plugin_id)
                          : fmt::format("plugin '{}' was disabled before it was used.", plugin_id);
    return file->reason;
  }
  return fail("there is no plugin '{}'.{}", plugin_id, did_you_mean(plugin_id, ids));
}

Error Registry::unknown(uint32_t kind, const std::string& name) const {
  const char* word = kind_name(kind);
  // First the files that would have had it.
  for (const auto& file : files_) {
    if (file->usable()) continue;
    for (const ProvidedType& type : file->manifest.provides) {
      if (type.kind != kind || !type.answers_to(name)) continue;
      if (file->duplicate || file->state == PluginState::Failed) return fail("{}", file->reason);
      if (file->state == PluginState::Disabled)
        return fail("{} '{}' is provided by plugin '{}', which was disabled.", word, name, file->manifest.id);
      return fail("{} '{}' is provided by {}, but that file was rejected: {}", word, name, file->path,
                  as_clause(file->reason, file->path));
    }
  }
  for (const auto& file : files_)
    if (file->state == PluginState::Rejected && file->manifest.id.empty() && stem_of(file->path) == name)
      return fail("{} '{}' is not provided by any plugin, and {} was rejected: {}", word, name, file->path,
                  as_clause(file->reason, file->path));

  size_t plugins = 0, drivers = 0, rejected = 0;
  std::vector<std::string> names;
  for (const auto& file : files_) {
    rejected += file->state == PluginState::Rejected ? 1 : 0;
    if (!file->usable()) continue;
    ++plugins;
    for (const ProvidedType& type : file->manifest.provides) {
      ++drivers;
      if (type.kind != kind) continue;
      names.push_back(type.name);
      names.insert(names.end(), type.aliases.begin(), type.aliases.end());
      for (std::string& other : pci_names(type.bus, type.name, type.aliases)) names.push_back(std::move(other));
    }
  }
  std::string searched;
  for (const std::string& directory : directories()) searched += (searched.empty() ? "" : ", ") + directory;
  std::string note = did_you_mean(name, names);
  if (note.empty() && rejected != 0)
    note = fmt::format(" {} {} rejected; -plugin-list says why.", rejected, rejected == 1 ? "file was" : "files were");
  return fail("{} '{}' is not provided by any plugin. Searched: {} ({} plugin{}, {} driver{}).{}", word, name, searched,
              plugins, plugins == 1 ? "" : "s", drivers, drivers == 1 ? "" : "s", note);
}

}  // namespace nacre
