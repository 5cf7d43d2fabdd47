// A plugin's file before it is mapped: ELF headers, the note, the manifest in it, the libraries that it asks for.
#include "core/plugin/elf_note.hpp"

#include "core/plugin/manifest.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nacre;
  using fuzz::require;

  static fuzz::MemoryFile file("plugin");
  file.fill({data, size});
  for (const std::string& name : needed_libraries(file.fd(), size))
    require(name.size() < size, "names lie in the file");
  const Result<PluginNote> note = read_plugin_note(file.fd(), size, "plugin.so");
  if (!note) {
    fuzz::require_sentence(note.error().message);
    return 0;
  }
  require(!note->json.empty() && note->json.size() <= size && note->json.size() <= NACRE_NOTE_JSON_MAX,
          "the description lies in the file");
  const Result<Manifest> manifest = parse_manifest(*note, "plugin.so");
  if (!manifest) {
    fuzz::require_sentence(manifest.error().message);
    return 0;
  }
  require(!manifest->id.empty() && !manifest->title().empty(), "a plugin has a name");
  return 0;
}
