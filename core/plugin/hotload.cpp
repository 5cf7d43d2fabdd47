// What becomes of plugin files that come, go and change while their code is in use. The rules stand at Registry.
#include <unistd.h>

#include <algorithm>

#include "core/base/log.hpp"
#include "core/base/suggest.hpp"
#include "core/plugin/registry_file.hpp"
#include "core/plugin/version_order.hpp"
#include "core/sandbox/sandbox.hpp"

namespace nacre {

Result<PluginFile> Registry::open_file(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  const bool insecure = std::any_of(options_.directories.begin(), options_.directories.end(),
                                    [&](auto& option) { return option.insecure && option.path == parent; });
  Result<PluginDirectory> directory = open_plugin_directory(parent, insecure);
  if (!directory) return directory.error();
  if (access(path.c_str(), F_OK) != 0) {
    std::string others;
    for (const std::string& other : directory->names) others += (others.empty() ? "" : ", ") + other;
    return fail("plugin file '{}' does not exist. (Directory '{}' holds: {}.)", path, parent,
                others.empty() ? "no plugins" : others);
  }
  return open_plugin_file(*directory, name);
}

void Registry::look_for_new_files() {
  if (!start() || sealed_) return;
  // A directory that has gone bad meanwhile does not matter here.
  if (Status scanned = scan(); !scanned) log::warn("plugin", "{}", scanned.error().message);
}

void Registry::look_again(const std::vector<File*>& files) {
  std::vector<std::string> changed;
  for (File* file : files) {
    const std::optional<FileStamp> there = stamp_of(file->path);
    const bool overwritten = file->overwritten();
    if (overwritten) mark_overwritten(*file);
    // Code that runs is as good as it was when its file is gone, moved or given another mode.
    if (file->mapped() && (!there || (there->same_file(file->stamp) && overwritten))) continue;
    if (there && (file->mapped() ? there->same_content(file->stamp) : there->untouched(file->stamp))) continue;
    changed.push_back(file->path);
  }
  if (changed.empty()) return;
  for (const std::string& path : changed) {
    Result<PluginFile> opened = open_file(path);
    if (opened)
      take_in(std::move(*opened));
    else if (stamp_of(path))
      turn_away(path, opened.error().message);
    else
      std::erase_if(files_, [&](auto& file) { return file->path == path && !file->mapped(); });
  }
  settle_duplicate_ids();
  tell_rejections();
}

void Registry::mark_overwritten(File& file) {
  if (file.state == PluginState::Failed) return;
  file.state = PluginState::Failed;
  file.reason = fmt::format(
      "the file of plugin '{}', '{}', was overwritten while its code was in use: devices that it has may crash, and it "
      "gets no more. Install plugins by rename, or pass -plugin-seal.",
      file.manifest.id, file.path);
  log::warn("plugin", "{}", file.reason);
  if (events_) events_->plugin_failed(file.manifest.id, file.path, file.reason);
}

Error Registry::no_new_code(const File& file) {
  return fail(
      "cannot load '{}' now: the sandbox forbids new code. Start with -plugin-hotload on, or name it with "
      "-plugin at start.",
      file.manifest.id);
}

std::vector<uint32_t> Registry::declared_system_calls() const {
  std::vector<uint32_t> numbers;
  for (const auto& file : files_) {
    if (!file->mapped()) continue;
    for (const std::string& name : file->manifest.system_calls)
      if (const int32_t number = sandbox::number_of(name); number >= 0)
        numbers.push_back(static_cast<uint32_t>(number));
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

Status Registry::fits_sandbox(const File& file) {
  for (const std::string& name : file.manifest.system_calls) {
    const int32_t number = sandbox::number_of(name);
    if (number < 0 || sandbox::allows(static_cast<uint32_t>(number))) continue;
    return fail(
        "cannot load '{}' now: it makes the system call '{}', and what the sandbox allows was settled at the start. "
        "Name it at start with -plugin file={}, or pass -disable-seccomp.",
        file.manifest.id, name, file.path);
  }
  return {};
}

Status Registry::check_newer(const File& incoming) const {
  if (std::count(options_.prefer.begin(), options_.prefer.end(), incoming.path) != 0) return {};
  for (const auto& other : files_) {
    if (other.get() == &incoming || !other->usable() || other->manifest.id != incoming.manifest.id) continue;
    if (compare_versions(incoming.manifest.version, other->manifest.version) > 0) continue;
    return fail(
        "plugin '{}' {} is there already, from {}; '{}' has version {}, which is not newer. Install it over that file "
        "by rename, disable '{}' first, or start with -plugin prefer={}.",
        other->manifest.id, other->manifest.version, other->path, incoming.path, incoming.manifest.version,
        other->manifest.id, incoming.path);
  }
  return {};
}

Result<std::string> Registry::load_file(const std::string& path) {
  if (Status ready = start(); !ready) return ready.error();
  Result<PluginFile> opened = open_file(path);
  if (!opened) return opened.error();
  File& file = take_in(std::move(*opened));
  if (file.state == PluginState::Scanned || file.put_aside()) {
    Status allowed = check_newer(file);
    if (allowed && sealed_ && !file.mapped()) allowed = no_new_code(file);
    if (allowed && !file.mapped()) allowed = fits_sandbox(file);
    if (!allowed) {
      if (file.state == PluginState::Scanned) file.reject(allowed.error().message);
      tell_rejections();
      return allowed.error();
    }
  }
  tell_rejections();
  if (file.state == PluginState::Rejected || file.state == PluginState::Failed) return fail("{}", file.reason);
  if (!file.mapped()) {
    if (Status mapped = map(file); !mapped) return mapped.error();
  } else if (file.put_aside()) {
    file.state = PluginState::Initialised;
    if (events_) events_->plugin_loaded(info_of(file));
  }
  file.reason.clear();
  for (auto& other : files_)
    if (other.get() != &file && other->usable() && other->manifest.id == file.manifest.id)
      other->supersede(fmt::format("{} was loaded in its place, from {}", file.manifest.title(), file.path));
  return file.manifest.id;
}

Result<std::string> Registry::disable(const std::string& plugin_id, size_t devices) {
  std::vector<std::string> ids;
  const File* out_of_use = nullptr;
  for (auto& file : files_) {
    if (file->manifest.id.empty()) continue;
    ids.push_back(file->manifest.id);
    if (file->manifest.id != plugin_id) continue;
    if (!file->usable()) {
      if (!out_of_use || out_of_use->state == PluginState::Superseded) out_of_use = file.get();
      continue;
    }
    if (devices != 0)
      return fail("plugin '{}' is in use: {} of its devices exist. Remove them first, with device_del.", plugin_id,
                  devices);
    file->state = PluginState::Disabled;
    file->reason = file->mapped() ? fmt::format(
                                        "plugin code stays mapped until exit; all {} devices of '{}' are gone and its "
                                        "name is free for another file.",
                                        devices, plugin_id)
                                  : fmt::format("plugin '{}' was disabled before it was used.", plugin_id);
    return file->reason;
  }
  if (out_of_use)
    return fail("plugin '{}' is not in use: it is {}. ({})", plugin_id, state_name(out_of_use->state),
                out_of_use->reason);
  return fail("there is no plugin '{}'.{}", plugin_id, did_you_mean(plugin_id, ids));
}

void Registry::tell_rejections() {
  std::map<std::string, std::string> now;
  for (const auto& file : files_) {
    if (file->state != PluginState::Rejected) continue;
    now[file->path] = file->reason;
    const auto before = told_.find(file->path);
    if (events_ && (before == told_.end() || before->second != file->reason))
      events_->plugin_rejected(file->path, file->reason);
  }
  told_ = std::move(now);
}

void Registry::report_failure(const nacre_type* type, const std::string& reason) {
  if (!events_) return;
  for (const auto& file : files_) {
    if (std::find(file->types.begin(), file->types.end(), type) != file->types.end())
      return events_->plugin_failed(file->manifest.id, file->path, reason);
  }
}

}  // namespace nacre
