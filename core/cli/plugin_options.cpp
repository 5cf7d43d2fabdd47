#include "core/cli/plugin_options.hpp"

#include "core/vm/host/services.hpp"

namespace nacre::cli {

Result<std::unique_ptr<Registry>> open_registry(const PluginChoice& choice) {
  RegistryOptions options;
  for (const PluginDirectory& directory : choice.directories)
    options.directories.push_back({directory.path, directory.insecure});
  options.prefer = choice.preferred;
  options.hotload = choice.hotload;
  options.seal = choice.seal;
  options.allowed = choice.allowed;
  auto registry = std::make_unique<Registry>(&services::hello(), std::move(options));
  if (Status started = registry->start(); !started) return started.error();
  for (const std::string& file : choice.files)
    if (Result<std::string> loaded = registry->load_file(file); !loaded) return loaded.error();
  return registry;
}

std::vector<std::string> plugin_directories(const PluginChoice& choice) {
  std::vector<std::string> paths;
  for (const PluginDirectory& directory : choice.directories) paths.push_back(directory.path);
  if (paths.empty())
    for (const PluginDirectoryOption& directory : default_plugin_directories()) paths.push_back(directory.path);
  return paths;
}

}  // namespace nacre::cli
