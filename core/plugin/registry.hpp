// Every plugin file that was found, and which driver or machine type comes from which.
//
// Scanning reads notes and maps nothing. A plugin is mapped and initialised when one of its types is first asked for.
// Every file that was looked at stays listed with its state and, where it is of no use, the reason.
#pragma once

#include <nacre/abi/entry.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/plugin/manifest.hpp"
#include "core/plugin/negotiate.hpp"

namespace nacre {

enum class PluginState { Scanned, Rejected, Mapped, Initialised, Failed, Disabled };
// "scanned", "rejected", ...
const char* state_name(PluginState state);

struct PluginDirectoryOption {
  std::string path;
  bool insecure = false;  // accept it whoever may write there
};

struct RegistryOptions {
  std::vector<PluginDirectoryOption> directories;  // empty: default_plugin_directories()
  std::vector<std::string> prefer;                 // of two files with one plugin id or driver: a path or a plugin id
  bool hotload = true;                             // false: start() maps all, and nothing can be mapped later
};

// Where plugins are when the user names no directory: NACRE_PLUGIN_DIR of the environment (ignored when the process has
// more rights than its user), else "plugins" beside the executable (a build tree), else the installed directory.
std::vector<PluginDirectoryOption> default_plugin_directories();

struct LoadedType {
  const nacre_type* type;  // lives as long as the process
  std::string plugin_id;
  std::string path;
};

// One driver or machine type on offer.
struct DriverInfo {
  uint32_t kind;  // NACRE_KIND_*
  std::string name;
  std::vector<std::string> aliases;
  std::string bus;
  std::string help;  // empty until its plugin is mapped
  std::string plugin_id;
  std::string path;
  bool conflicting = false;  // another plugin offers it too, so that it cannot be used without a choice
};

// One file that was looked at.
struct PluginInfo {
  std::string path;
  std::string id, name, version, vendor, license;  // empty when its note could not be read
  PluginState state;
  std::string reason;  // one sentence; empty unless rejected, failed or disabled
  std::string tier;    // "stable", "locked"
  std::string abi;     // "0.1"
  std::vector<std::string> drivers;
  std::vector<std::string> requires_extensions, optional_extensions;
};

// Main thread only.
class Registry {
 public:
  // `host` must live as long as the process: plugins keep it.
  Registry(const nacre_host_hello* host, RegistryOptions options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // Scans the directories, and with hotload off maps every usable plugin. Fails when a directory that the user named is
  // missing or refused; a bad file in it is no failure. load() starts the registry by itself.
  Status start();

  // Whether a plugin that could be used offers it; maps nothing.
  bool offers(uint32_t kind, const std::string& name);

  // Returns the type by kind and name or alias, mapping and initialising its plugin on first use. `plugin` chooses
  // among several that offer it. A name that is unknown makes it look once more for new files. The error names the file
  // that would have provided it, or the nearest name.
  Result<LoadedType> load(uint32_t kind, const std::string& name, const std::string& plugin = {});

  // Takes in one more file, whatever its directory, and maps it: returns its plugin id.
  Result<std::string> load_file(const std::string& path);

  // Takes the names of a plugin out of use and returns the sentence for the user; its code stays mapped. `devices` is
  // how many devices of it exist: it fails unless that is 0.
  Result<std::string> disable(const std::string& plugin_id, size_t devices);

  // Every file, by path; for query-plugins and -plugin-list.
  std::vector<PluginInfo> query() const;
  // Every type of a kind on offer, by name; kind 0 means all.
  std::vector<DriverInfo> drivers(uint32_t kind = 0) const;
  // The directories that are searched.
  std::vector<std::string> directories() const;

  // The texts of `-plugin-list`, and of `-device help` or `-machine help`: several lines, each ended.
  std::string plugin_list() const;
  std::string driver_list(uint32_t kind) const;

 private:
  struct File;
  Status scan();
  void take_in(std::unique_ptr<File> file);
  void settle_duplicate_ids();
  bool preferred(const File& file) const;
  Status map(File& file);
  std::vector<File*> providers(uint32_t kind, const std::string& name) const;
  Error unknown(uint32_t kind, const std::string& name) const;

  const nacre_host_hello* host_;
  HostVersion version_;
  RegistryOptions options_;
  bool default_directories_ = false;
  bool started_ = false;
  bool sealed_ = false;
  std::vector<std::unique_ptr<File>> files_;  // by path
};

}  // namespace nacre
