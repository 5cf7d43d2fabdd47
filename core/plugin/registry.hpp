// Every plugin file that was found, and which driver or machine type comes from which.
//
// Scanning reads notes and maps nothing. A plugin is mapped and initialised when one of its types is first asked for.
// Every file that was looked at stays listed with its state and, where it is of no use, the reason.
#pragma once

#include <nacre/abi/entry.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/plugin/directory.hpp"
#include "core/plugin/manifest.hpp"
#include "core/plugin/negotiate.hpp"

namespace nacre {

enum class PluginState {
  Scanned,      // it could be used; nothing of it is mapped
  Rejected,     // it cannot be used; nothing of it is mapped
  Mapped,       // its code is in the process
  Initialised,  // in use
  Failed,       // it could not be mapped or would not start, or its file was overwritten under it
  Disabled,     // taken out of use by disable()
  Superseded,   // a newer file serves new devices; those that were there keep this code
};
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
  bool seal = false;                               // code is mapped from copies that nobody can overwrite
  std::vector<std::string> allowed;  // SHA-256 in lower-case hexadecimal: only files of these are used; empty: all
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
  std::string reason;  // one sentence; empty where it can be used
  std::string tier;    // "stable", "locked"
  std::string abi;     // "0.1"
  std::vector<std::string> drivers;
  std::vector<std::string> requires_extensions, optional_extensions;
  std::vector<std::string> system_calls;  // that it declares
  std::vector<const nacre_type*> types;  // by which its devices know it; empty while it is not mapped
};

// Told of plugins in the order in which things become true. Main thread only.
class PluginEvents {
 public:
  virtual ~PluginEvents() = default;
  // Its code is mapped and has started, or is in use again: its drivers can be used.
  virtual void plugin_loaded(const PluginInfo& plugin) = 0;
  // A file is of no use, which was not known before, or is so for another reason now.
  virtual void plugin_rejected(const std::string& path, const std::string& reason) = 0;
  // It could not be mapped or would not start, its file was overwritten, or one of its instances failed by its fault.
  virtual void plugin_failed(const std::string& id, const std::string& path, const std::string& reason) = 0;
};

// Which file serves the devices of a plugin id, of several:
// - A file that was renamed over the path of another takes its place, whatever its version is; where it is of no use,
//   the code that runs stays in use.
// - One at another path takes the place only by load_file(), and only when its version is higher, or when the user
//   prefers it. An id that is found twice otherwise is used from the file whose code runs already, and from neither
//   when none does.
// - After disable(), any file may take the id. load_file() of a disabled file enables it again.
// Devices keep the code that they were made with: code is never unmapped. A file that was overwritten in place while
// its code is mapped gets no more devices.
//
// Main thread only.
class Registry {
 public:
  // `host` must live as long as the process: plugins keep it.
  Registry(const nacre_host_hello* host, RegistryOptions options);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // NULL: nobody is told.
  void set_events(PluginEvents* events) { events_ = events; }

  // Scans the directories, and with hotload off maps every usable plugin. Fails when a directory that the user named is
  // missing or refused, or when digests are asked for and cannot be made; a bad file is no failure. load() starts the
  // registry by itself.
  Status start();

  // Whether a plugin that could be used offers it; maps nothing.
  bool offers(uint32_t kind, const std::string& name);

  // The numbers of the system calls that plugins declare whose code is mapped, for sandbox::confine(): who comes later
  // can have no others. Names that this machine does not know count for nothing.
  std::vector<uint32_t> declared_system_calls() const;
  // Whether a plugin can be mapped from now on.
  bool takes_new_code() const { return !sealed_; }

  // Looks once more for files that have come, unless nothing can be mapped any more.
  void look_for_new_files();

  // Returns the type by kind and name or alias, mapping and initialising its plugin on first use. `plugin` chooses
  // among several that offer it. Files that have changed since they were read are read again, and a name that is
  // unknown makes it look once more for new ones. The error names the file that would have provided it and says why it
  // does not, or names the nearest name.
  Result<LoadedType> load(uint32_t kind, const std::string& name, const std::string& plugin = {});

  // Takes in one more file, whatever its directory, and maps it, or enables it again: returns its plugin id. Fails when
  // another file of its id is in use and is not older.
  Result<std::string> load_file(const std::string& path);

  // Takes the names of a plugin out of use and returns the sentence for the user; its code stays mapped. `devices` is
  // how many devices of it exist: it fails unless that is 0.
  Result<std::string> disable(const std::string& plugin_id, size_t devices);

  // One of its instances failed by its plugin's fault, as by an exception: whoever listens is told.
  void report_failure(const nacre_type* type, const std::string& reason);

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
  Result<PluginFile> open_file(const std::string& path);
  void look_again(const std::vector<File*>& files);
  File& take_in(PluginFile file);
  File& add(std::unique_ptr<File> file);
  void turn_away(const std::string& path, const std::string& reason);
  Status accept(File& file);
  Status check_digest(int fd, const File& file) const;
  void settle_duplicate_ids();
  bool preferred(const File& file) const;
  Status check_newer(const File& incoming) const;
  static Error no_new_code(const File& file);
  static Status fits_sandbox(const File& file);
  Status map(File& file);
  Result<Fd> image_of(File& file);
  void mark_overwritten(File& file);
  void tell_rejections();
  PluginInfo info_of(const File& file) const;
  std::vector<File*> providers(uint32_t kind, const std::string& name) const;
  Error unknown(uint32_t kind, const std::string& name) const;

  const nacre_host_hello* host_;
  HostVersion version_;
  RegistryOptions options_;
  bool default_directories_ = false;
  bool started_ = false;
  bool sealed_ = false;
  PluginEvents* events_ = nullptr;
  std::vector<std::unique_ptr<File>> files_;  // by path
  std::map<std::string, std::string> told_;   // rejections that were told: the reason by path
};

}  // namespace nacre
