#include "core/plugin/registry.hpp"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "core/base/log.hpp"
#include "core/base/suggest.hpp"
#include "core/plugin/bus_names.hpp"
#include "core/plugin/digest.hpp"
#include "core/plugin/elf_note.hpp"
#include "core/plugin/module.hpp"
#include "core/plugin/registry_file.hpp"
#include "core/plugin/sealed_copy.hpp"
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

const nacre_type* type_of(const std::vector<const nacre_type*>& types, uint32_t kind, const std::string& name) {
  for (const nacre_type* type : types)
    if (type && type->kind == kind && type->name && name == type->name) return type;
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
    case PluginState::Disabled:
      return "disabled";
    default:
      return "superseded";
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
  if (!options_.allowed.empty())
    if (Status ready = prepare_digests(); !ready) return ready;
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
  bool all_read = true;
  for (const PluginDirectoryOption& option : options_.directories) {
    Result<PluginDirectory> directory = open_plugin_directory(option.path, option.insecure);
    if (!directory) {
      all_read = false;
      // The user's own directories must be right. The default one need not be there.
      if (!default_directories_ && outcome) outcome = directory.error();
      if (default_directories_ && access(option.path.c_str(), F_OK) == 0)
        log::warn("plugin", "{}", directory.error().message);
      continue;
    }
    for (const std::string& warning : directory->warnings)
      if (!started_) log::warn("plugin", "{}", warning);
    for (const std::string& name : directory->names) {
      seen.push_back((directory->path == "/" ? "" : directory->path) + "/" + name);
      Result<PluginFile> opened = open_plugin_file(*directory, name);
      if (opened)
        take_in(std::move(*opened));
      else
        turn_away(seen.back(), opened.error().message);
    }
  }
  // What has gone from the directories is forgotten, unless its code is in use or it was put aside. Of a directory that
  // could not be read, for want of memory or descriptors perhaps, nobody knows what has gone.
  if (all_read)
    std::erase_if(files_, [&](auto& file) {
      return !file->mapped() && std::find(seen.begin(), seen.end(), file->path) == seen.end() && !file->put_aside();
    });
  settle_duplicate_ids();
  tell_rejections();
  return outcome;
}

Registry::File& Registry::take_in(PluginFile opened) {
  for (auto& known : files_) {
    if (!known->stamp.same_file(opened.stamp)) continue;
    if (known->overwritten()) mark_overwritten(*known);
    if (known->mapped()) {
      // A file whose code was copied may be overwritten: it is another one then.
      if (known->image_fd >= 0 || known->stamp.same_content(opened.stamp)) return *known;
      continue;
    }
    if (known->put_aside() && known->stamp.untouched(opened.stamp)) return *known;
    // One file under two names (a hard link, a directory given twice) is one plugin.
    if (known->path != opened.path && known->at_its_path()) return *known;
  }
  auto file = std::make_unique<File>();
  file->path = std::move(opened.path);
  file->fd = std::move(opened.fd);
  file->stamp = opened.stamp;
  if (Status accepted = accept(*file); !accepted) file->reject(accepted.error().message);
  return add(std::move(file));
}

void Registry::turn_away(const std::string& path, const std::string& reason) {
  auto file = std::make_unique<File>();
  file->path = path;
  file->reject(reason);
  add(std::move(file));
}

Registry::File& Registry::add(std::unique_ptr<File> file) {
  std::erase_if(files_, [&](auto& known) { return known->path == file->path && !known->mapped(); });
  // What cannot be used does not displace code that runs.
  for (auto& known : files_)
    if (known->path == file->path && known->usable() && file->usable())
      known->supersede(fmt::format("its file was replaced by {}", file->manifest.title()));
  return *files_.emplace_back(std::move(file));
}

Status Registry::accept(File& file) {
  if (Status allowed = check_digest(file.fd.get(), file); !allowed) return allowed;
  Result<PluginNote> note = read_plugin_note(file.fd.get(), file.stamp.size, file.path);
  if (!note) return note.error();
  Result<Manifest> manifest = parse_manifest(*note, file.path);
  if (!manifest) return manifest.error();
  file.manifest = std::move(*manifest);
  return negotiate(file.manifest, version_);
}

Status Registry::check_digest(int fd, const File& file) const {
  if (options_.allowed.empty()) return {};
  Result<std::string> digest = sha256_of(fd, file.stamp.size, file.path);
  if (!digest) return digest.error();
  if (std::count(options_.allowed.begin(), options_.allowed.end(), *digest) != 0) return {};
  return fail("'{}' is not one of the allowed files. If it is to be trusted, pass -plugin-allow sha256:{}", file.path,
              *digest);
}

bool Registry::preferred(const File& file) const {
  return std::any_of(options_.prefer.begin(), options_.prefer.end(),
                     [&](const std::string& word) { return word == file.path || word == file.manifest.id; });
}

void Registry::settle_duplicate_ids() {
  std::stable_sort(files_.begin(), files_.end(), [](auto& a, auto& b) { return a->path < b->path; });
  for (size_t i = 0; i < files_.size(); ++i) {
    File& first = *files_[i];
    if (!first.usable()) continue;
    for (size_t j = i + 1; j < files_.size(); ++j) {
      File& second = *files_[j];
      if (!second.usable() || first.manifest.id != second.manifest.id) continue;
      const std::string both = fmt::format("plugin id '{}' is found twice: {} ({}) and {} ({}).", first.manifest.id,
                                           first.path, first.manifest.version, second.path, second.manifest.version);
      // The one whose code runs, or that the user chose, stays.
      auto stays = [&](const File& file) {
        return file.mapped() || std::count(options_.prefer.begin(), options_.prefer.end(), file.path) != 0;
      };
      const bool keep_first = stays(first), keep_second = stays(second) && !keep_first;
      auto drop = [&](File& file, const File* kept) {
        file.duplicate = true;
        file.reject(both +
                    (kept ? fmt::format(" The one in use is {}; plugin-load takes another that is newer.", kept->path)
                          : " Neither was used. Remove one or pass -plugin prefer=<path>."));
      };
      if (!keep_second) drop(second, keep_first ? &first : nullptr);
      if (!keep_first) drop(first, keep_second ? &second : nullptr);
      if (!first.usable()) break;
    }
  }
}

std::vector<Registry::File*> Registry::providers(uint32_t kind, const std::string& name) const {
  std::vector<File*> found;
  for (const auto& file : files_)
    if (file->usable() && file->offers(kind, name)) found.push_back(file.get());
  return found;
}

bool Registry::offers(uint32_t kind, const std::string& name) {
  return start() && !providers(kind, name).empty();
}

Result<LoadedType> Registry::load(uint32_t kind, const std::string& name, const std::string& plugin) {
  if (Status ready = start(); !ready) return ready.error();
  if (!sealed_) look_again(providers(kind, name));
  std::vector<File*> found = providers(kind, name);
  if (found.empty()) {
    look_for_new_files();  // a plugin may have been installed since
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
    if (sealed_) return no_new_code(file);
    if (Status fits = fits_sandbox(file); !fits) return fits.error();
    if (Status mapped = map(file); !mapped) return mapped.error();
  }
  for (const ProvidedType& type : file.manifest.provides)
    if (type.kind == kind && type.answers_to(name))
      return LoadedType{type_of(file.types, kind, type.name), file.manifest.id, file.path};
  return unknown(kind, name);
}

Result<Fd> Registry::image_of(File& file) {
  Fd image;
  if (options_.seal) {
    Result<Fd> copy = sealed_copy(file.fd.get(), file.stamp.size, file.path);
    if (!copy) return copy.error();
    image = std::move(*copy);
  }
  const int fd = image ? image.get() : file.fd.get();
  if (Status allowed = check_digest(fd, file); !allowed) return allowed.error();
  const std::optional<FileStamp> now = stamp_of(file.fd.get());
  if (!now || !now->untouched(file.stamp))
    return fail("'{}' was changed while it was being loaded; install plugins by rename, and try again.", file.path);
  if (!image) image = std::move(file.fd);
  return image;
}

Status Registry::map(File& file) {
  auto failed = [&](const Error& error) {
    file.state = PluginState::Failed;
    file.reason = error.message;
    if (events_) events_->plugin_failed(file.manifest.id, file.path, file.reason);
    return error;
  };
  Result<Fd> image = image_of(file);
  if (!image) return failed(image.error());
  const int image_fd = image->get();
  Result<const nacre_plugin*> plugin = map_plugin(std::move(*image), file.stamp.size, file.path, file.manifest, host_);
  if (!plugin) return failed(plugin.error());
  file.plugin = *plugin;
  file.types.assign(file.plugin->types, file.plugin->types + file.plugin->n_types);
  if (!options_.seal) file.image_fd = image_fd;
  file.state = PluginState::Mapped;
  if (Status started = initialise_plugin(*file.plugin); !started) return failed(started.error());
  file.state = PluginState::Initialised;
  if (events_) events_->plugin_loaded(info_of(file));
  return {};
}

Error Registry::unknown(uint32_t kind, const std::string& name) const {
  const char* word = kind_name(kind);
  // First the files that would have had it.
  for (const auto& file : files_) {
    if (file->usable() || file->state == PluginState::Superseded) continue;
    if (!file->offers(kind, name) && !file->offers_on_pci(kind, name)) continue;
    if (file->duplicate || file->state == PluginState::Failed) return fail("{}", file->reason);
    if (file->state == PluginState::Disabled)
      return fail("{} '{}' is provided by plugin '{}', which was disabled.", word, name, file->manifest.id);
    return fail("{} '{}' is provided by {}, but that file was rejected: {}", word, name, file->path,
                as_clause(file->reason, file->path));
  }
  // Where nothing could be read in a file, its name says what it was for: virtio-foo.so has virtio-foo-device.
  for (const auto& file : files_)
    if (file->state == PluginState::Rejected && file->manifest.id.empty() && name.starts_with(stem_of(file->path)))
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
