// One plugin file as the registry keeps it.
#pragma once

#include "core/plugin/directory.hpp"
#include "core/plugin/registry.hpp"

namespace nacre {

struct Registry::File {
  std::string path;
  Fd fd;              // until it is mapped; with -plugin-seal longer, so that the file's number is not given again
  int image_fd = -1;  // what its code was mapped from, where that is the file itself; owned by the module
  FileStamp stamp;    // of when it was read; all zero when it could not be opened

  Manifest manifest;  // has an id when the note could be read
  PluginState state = PluginState::Scanned;
  std::string reason;      // why it is rejected, failed, disabled or superseded
  bool duplicate = false;  // rejected because of another file with its id
  const nacre_plugin* plugin = nullptr;
  std::vector<const nacre_type*> types;  // the plugin's, apart from its memory, which goes with its file

  void reject(std::string why) {
    state = PluginState::Rejected;
    reason = std::move(why);
    fd.close();
  }
  // `why` is a clause.
  void supersede(const std::string& why) {
    state = PluginState::Superseded;
    reason = why + "; devices that it has keep its code, new ones get the other.";
  }

  bool mapped() const { return plugin != nullptr; }
  bool usable() const {
    return state == PluginState::Scanned || state == PluginState::Mapped || state == PluginState::Initialised;
  }
  // Out of use by the user's word, which a scan does not change.
  bool put_aside() const { return state == PluginState::Disabled || state == PluginState::Superseded; }
  bool offers(uint32_t kind, const std::string& name) const {
    for (const ProvidedType& type : manifest.provides)
      if (type.kind == kind && type.answers_to(name)) return true;
    return false;
  }
  // Whether it still lies where it was found.
  bool at_its_path() const {
    const std::optional<FileStamp> there = stamp_of(path);
    return there && there->same_file(stamp);
  }
  // Whether its code is mapped and its file's content was changed in place since.
  bool overwritten() const {
    if (image_fd < 0) return false;
    const std::optional<FileStamp> now = stamp_of(image_fd);
    return !now || !now->same_content(stamp);
  }
};

}  // namespace nacre
