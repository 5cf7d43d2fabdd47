// The one place that uses Boost.DLL. It says "Bad file descriptor" for whatever went wrong, so the words come from
// dlerror(); it must not decorate names, search folders, or read files by itself (library_info trusts sizes in them).
#include "core/plugin/module.hpp"

#include <dlfcn.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <boost/dll/shared_library.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "core/base/error_slot.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/plugin/directory.hpp"
#include "core/plugin/elf_note.hpp"

namespace nacre {
namespace {

namespace dll = boost::dll;

// A mapped plugin. It lives as long as the process: other code may hold pointers into it, and the loader would take a
// later file under the same descriptor number for this one.
struct Module {
  Fd fd;
  dll::shared_library library;
  std::string file;
};

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// Whether every library that the plugin asks for, but the missing one, is in the process.
bool others_present(const std::vector<std::string>& needed, const std::string& missing) {
  bool named = false;
  for (const std::string& library : needed) {
    if (library == missing) {
      named = true;
      continue;
    }
    void* handle = dlopen(library.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (!handle) return false;
    dlclose(handle);
  }
  return named;
}

std::string first_word(const std::string& text, size_t at) {
  return text.substr(at, text.find_first_of(", \n)", at) - at);
}

// Turns the loader's words into ours. glibc's forms: "LIB: cannot open shared object file: REASON",
// "FILE: undefined symbol: NAME[, version VERSION]", "LIB: version `VERSION' not found (required by FILE)".
Error load_failure(const std::string& words, int fd, uint64_t size, const Manifest& manifest) {
  const std::string head = fmt::format("plugin '{}' cannot be loaded: ", manifest.id);
  if (size_t at = words.find(": cannot open shared object file"); at != std::string::npos) {
    std::string library = words.substr(0, at);
    if (words.find("No such file or directory", at) == std::string::npos)  // too many open files, no permission
      return fail("{}'{}' cannot be opened: {}.", head, library, words.substr(words.rfind(": ") + 2));
    std::vector<std::string> needed = needed_libraries(fd, size);
    bool direct = std::find(needed.begin(), needed.end(), library) != needed.end();
    return fail("{}it needs '{}', which is not installed.{}", head, library,
                !direct                           ? " (Another library that it uses asks for it.)"
                : others_present(needed, library) ? " (Its other dependencies were found.)"
                                                  : "");
  }
  constexpr char kUndefined[] = "undefined symbol: ";
  if (size_t at = words.find(kUndefined); at != std::string::npos) {
    std::string symbol = first_word(words, at + sizeof kUndefined - 1);
    constexpr char kVersion[] = ", version ";
    size_t version = words.find(kVersion, at);
    const std::string library =
        version == std::string::npos
            ? "version of one of them"
            : "library, with version '" + first_word(words, version + sizeof kVersion - 1) + "'";
    return fail("{}it uses symbol '{}' that none of its libraries define. It was probably built against a newer {}.",
                head, symbol, library);
  }
  if (size_t at = words.find(": version `"); at != std::string::npos) {
    size_t start = at + std::strlen(": version `");
    return fail("{}it needs version '{}' of '{}', and the installed one is older.", head,
                words.substr(start, words.find('\'', start) - start), file_name(words.substr(0, at)));
  }
  return fail("{}{}.", head, words);
}

// Makes the plugin's addresses known to the crash handlers.
void name_addresses(const Module& module) {
  const auto* map = static_cast<const link_map*>(module.library.native());
  const ImageRange image = image_range(map->l_ld);
  const FileStamp stamp = stamp_of(module.fd.get()).value_or(FileStamp{});
  crash::add_module(
      {module.file.c_str(), image.start, image.end, module.fd.get(), static_cast<int64_t>(stamp.size), stamp.modified});
}

// What the entry shows, against the note by which the plugin was accepted.
Status check_entry(const nacre_plugin* plugin, const std::string& path, const Manifest& manifest) {
  auto mismatch = [&](const char* what, const std::string& entry, const std::string& note) {
    return fail("'{}' is damaged: its plugin note says {} '{}', its entry point '{}'. Get it from its vendor again.",
                path, what, note, entry);
  };
  if (!plugin)
    return fail("plugin '{}' refused to work with this VMM and gave no reason; this is a defect of the plugin.",
                manifest.id);
  if (plugin->magic != NACRE_PLUGIN_MAGIC || plugin->size < sizeof(nacre_plugin))
    return fail("'{}' is damaged: its entry point does not show a plugin's description.", path);
  if (plugin->abi_major != manifest.abi_major || plugin->abi_minor != manifest.abi_minor_built)
    return mismatch("SDK", fmt::format("{}.{}", plugin->abi_major, plugin->abi_minor),
                    fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor_built));
  if (!plugin->id || manifest.id != plugin->id) return mismatch("id", plugin->id ? plugin->id : "", manifest.id);
  if (!plugin->version || manifest.version != plugin->version)
    return mismatch("version", plugin->version ? plugin->version : "", manifest.version);
  for (const ProvidedType& provided : manifest.provides) {
    const nacre_type* found = nullptr;
    for (uint32_t i = 0; plugin->types && i < plugin->n_types; ++i) {
      const nacre_type* type = plugin->types[i];
      if (type && type->size >= sizeof(nacre_type) && type->kind == provided.kind && type->name &&
          provided.name == type->name)
        found = type;
    }
    if (!found)
      return fail(
          "'{}' is damaged: its plugin note promises {} '{}', its entry point does not have it. Get it from its "
          "vendor again.",
          path, kind_name(provided.kind), provided.name);
    if (!found->ops || (found->n_props != 0 && (!found->props || found->prop_size < sizeof(uint32_t) * 2)))
      return fail("'{}' is damaged: its {} '{}' has no functions or no properties behind their count.", path,
                  kind_name(provided.kind), provided.name);
  }
  return {};
}

// A name for the descriptor that holds in other processes too: a debugger looks for the file under the name that it was
// loaded by, and /proc/self would be its own.
std::string link_to(int fd) {
  char self[32];
  const ssize_t length = ::readlink("/proc/self", self, sizeof self);
  return fmt::format("/proc/{}/fd/{}", length > 0 ? std::string(self, static_cast<size_t>(length)) : "self", fd);
}

}  // namespace

ImageRange image_range(const void* address) {
  struct Search {
    uintptr_t wanted;
    ImageRange found;
  } search{reinterpret_cast<uintptr_t>(address), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* opaque) {
        auto* asked = static_cast<Search*>(opaque);
        ImageRange image{info->dlpi_addr, 0};
        for (int i = 0; i < info->dlpi_phnum; ++i)
          if (info->dlpi_phdr[i].p_type == PT_LOAD)
            image.end = std::max<uintptr_t>(image.end,
                                            info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz);
        if (!image.holds(asked->wanted)) return 0;
        asked->found = image;
        return 1;
      },
      &search);
  return search.found;
}

Result<const nacre_plugin*> map_plugin(Fd fd, uint64_t size, const std::string& path, const Manifest& manifest,
                                       const nacre_host_hello* host) {
  try {
    auto module = std::make_unique<Module>();
    module->fd = std::move(fd);
    module->file = file_name(path);
    // Through the descriptor: what is mapped is what was checked, whatever happens to the name meanwhile.
    const std::string link = link_to(module->fd.get());
    // Boost's enumeration has no RTLD_NODELETE; it hands the value on as it is.
    const auto mode = static_cast<dll::load_mode::type>(RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    std::error_code error;
    {
      Breadcrumb crumb(manifest.id.c_str(), "", "its constructors");
      module->library.load(link, mode, error);
    }
    if (error) {
      const char* words = dlerror();
      return load_failure(words ? words : "the loader gave no reason", module->fd.get(), size, manifest);
    }
    // From here on the image is in the process, whatever comes of it.
    // Kept for the life of the process, in a list that is never destroyed.
    static auto& kept = *new std::vector<std::unique_ptr<Module>>;
    const Module& mapped = *kept.emplace_back(std::move(module));
    name_addresses(mapped);
    if (!mapped.library.has(NACRE_ENTRY_SYMBOL))
      return fail(
          "'{}' has a plugin note for '{}' but no entry point '{}'; the file is damaged or was stripped of its "
          "dynamic symbols.",
          path, manifest.id, NACRE_ENTRY_SYMBOL);
    auto* entry = mapped.library.get<const nacre_plugin*(const nacre_host_hello*)>(NACRE_ENTRY_SYMBOL);
    const nacre_plugin* plugin;
    {
      Breadcrumb crumb(manifest.id.c_str(), "", "its entry point");
      plugin = entry(host);
    }
    if (Status checked = check_entry(plugin, path, manifest); !checked) return checked.error();
    return plugin;
  } catch (const std::exception& thrown) {
    return fail("plugin '{}' cannot be loaded: {}.", manifest.id, thrown.what());
  }
}

Status initialise_plugin(const nacre_plugin& plugin) {
  if (!plugin.init) return {};
  ErrorSlot slot;
  nacre_status code;
  {
    Breadcrumb crumb(plugin.id, "", "init");
    code = plugin.init(slot.handle());
  }
  if (code == NACRE_OK) return {};
  std::string words = slot.text("");
  while (!words.empty() && words.back() == '.') words.pop_back();
  if (words.empty())
    return fail("plugin '{}' refused to start and gave no reason; this is a defect of the plugin.", plugin.id);
  return fail("plugin '{}' refused to start: {}.", plugin.id, words);
}

}  // namespace nacre
