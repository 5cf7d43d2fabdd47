// What the registry knows, for people and for query-plugins.
#include <nacre/abi/note.h>

#include <algorithm>

#include "core/plugin/bus_names.hpp"
#include "core/plugin/registry_file.hpp"

namespace nacre {

PluginInfo Registry::info_of(const File& file) const {
  const Manifest& manifest = file.manifest;
  PluginInfo info;
  info.path = file.path;
  info.state = file.state;
  info.reason = file.reason;
  info.types = file.types;
  if (manifest.id.empty()) return info;
  info.id = manifest.id;
  info.name = manifest.name;
  info.version = manifest.version;
  info.vendor = manifest.vendor;
  info.license = manifest.license;
  info.tier = manifest.tier == NACRE_TIER_LOCKED ? "locked" : "stable";
  info.abi = fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor_built);
  for (const ProvidedType& type : manifest.provides) info.drivers.push_back(type.name);
  info.requires_extensions = manifest.requires_extensions;
  info.optional_extensions = manifest.optional_extensions;
  info.system_calls = manifest.system_calls;
  return info;
}

std::vector<PluginInfo> Registry::query() const {
  std::vector<PluginInfo> infos;
  for (const auto& file : files_) infos.push_back(info_of(*file));
  return infos;
}

std::vector<DriverInfo> Registry::drivers(uint32_t kind) const {
  std::vector<DriverInfo> infos;
  for (const auto& file : files_) {
    if (!file->usable()) continue;
    for (const ProvidedType& type : file->manifest.provides) {
      if (kind != 0 && type.kind != kind) continue;
      DriverInfo info{type.kind, type.name, type.aliases, type.bus, {}, file->manifest.id, file->path, false};
      for (const nacre_type* loaded : file->overwritten() ? std::vector<const nacre_type*>() : file->types) {
        if (loaded && loaded->kind == type.kind && loaded->name && type.name == loaded->name && loaded->help)
          info.help = loaded->help;
      }
      infos.push_back(std::move(info));
    }
  }
  std::sort(infos.begin(), infos.end(), [](auto& a, auto& b) { return a.name < b.name; });
  for (size_t i = 1; i < infos.size(); ++i)
    if (infos[i].name == infos[i - 1].name && infos[i].kind == infos[i - 1].kind)
      infos[i].conflicting = infos[i - 1].conflicting = true;
  return infos;
}

std::vector<std::string> Registry::directories() const {
  std::vector<std::string> paths;
  for (const PluginDirectoryOption& option : options_.directories) paths.push_back(option.path);
  return paths;
}

std::string Registry::plugin_list() const {
  std::string text;
  for (const PluginInfo& info : query()) {
    text += fmt::format("{}: ", info.path);
    if (!info.id.empty()) {
      text +=
          fmt::format("{} {}, {}, SDK {}, {}: ", info.id, info.version, state_name(info.state), info.abi, info.tier);
      for (size_t i = 0; i < info.drivers.size(); ++i) text += (i == 0 ? "" : ", ") + info.drivers[i];
    } else {
      text += state_name(info.state);
    }
    text += "\n";
    if (!info.system_calls.empty())
      text += fmt::format("  makes these system calls beside: {}\n", fmt::join(info.system_calls, ", "));
    if (!info.reason.empty()) text += fmt::format("  {}\n", info.reason);
  }
  if (text.empty()) {
    text = "no plugins found. Searched:";
    for (const std::string& directory : directories()) text += " " + directory;
    text += "\n";
  }
  return text;
}

std::string Registry::driver_list(uint32_t kind) const {
  std::string text;
  for (const DriverInfo& info : drivers(kind)) {
    text += info.name;
    for (const std::string& alias : info.aliases) text += " (also " + alias + ")";
    if (!info.bus.empty()) text += ", bus " + info.bus;
    for (const std::string& name : pci_names(info.bus, info.name, info.aliases)) text += ", on PCI " + name;
    text += fmt::format(", from {} ({})", info.path, info.plugin_id);
    if (!info.help.empty()) text += ": " + info.help;
    if (info.conflicting) text += fmt::format(" [offered twice: choose with plugin={}]", info.plugin_id);
    text += "\n";
  }
  if (text.empty()) text = fmt::format("no plugin provides a {}.\n", kind_name(kind));
  return text;
}

}  // namespace nacre
