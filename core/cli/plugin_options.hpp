// The registry of plugins as the command line asks for it.
#pragma once

#include <memory>

#include "core/cli/options.hpp"
#include "core/plugin/registry.hpp"

namespace nacre::cli {

// Scans the directories and takes in single files. Fails where a directory or file that was named cannot be used.
Result<std::unique_ptr<Registry>> open_registry(const PluginChoice& choice);

// The directories where plugins are looked for.
std::vector<std::string> plugin_directories(const PluginChoice& choice);

}  // namespace nacre::cli
