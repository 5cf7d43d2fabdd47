// One plugin file as the registry keeps it.
#pragma once

#include "core/plugin/directory.hpp"
#include "core/plugin/registry.hpp"

namespace nacre {

struct Registry::File {
  std::string path;
  Fd fd;  // until it is mapped
  uint64_t size = 0;
  dev_t device = 0;
  ino_t inode = 0;

  Manifest manifest;  // has an id when the note could be read
  PluginState state = PluginState::Scanned;
  std::string reason;      // why it is rejected, failed or disabled
  bool duplicate = false;  // rejected because of another file with its id
  bool replaced = false;   // the file of this path is another by now; its devices live on
  const nacre_plugin* plugin = nullptr;

  bool usable() const { return state <= PluginState::Initialised && state != PluginState::Rejected && !replaced; }
  bool mapped() const { return plugin != nullptr; }
};

}  // namespace nacre
