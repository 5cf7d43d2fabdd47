#include "core/cli/tell.hpp"

#include <cstdio>

#include "core/cli/plugin_options.hpp"
#include "core/plugin/bus_names.hpp"
#include "core/plugin/properties.hpp"

namespace nacre::cli {
namespace {

Result<std::string> answer(const Options& options) {
  const HelpRequest& help = *options.help;
  if (help.kind == HelpRequest::Kind::Text) return help.text;
  Result<std::unique_ptr<Registry>> registry = open_registry(options.plugin);
  if (!registry) return registry.error();
  if (help.kind == HelpRequest::Kind::Plugins) return (*registry)->plugin_list();
  if (help.kind == HelpRequest::Kind::OneType) {
    const std::string name = help.of == NACRE_KIND_DEVICE ? resolve_bus_name(**registry, help.name).driver : help.name;
    Result<LoadedType> loaded = (*registry)->load(help.of, name);
    if (!loaded) return loaded.error();
    return help.text + describe(*loaded->type);
  }
  // Of devices and machines there are none but those of plugins.
  if (help.of == NACRE_KIND_DEVICE || help.of == NACRE_KIND_MACHINE)
    return help.text + (*registry)->driver_list(help.of);
  if ((*registry)->drivers(help.of).empty()) return help.text;
  return help.text + "\n  Of plugins:\n" + (*registry)->driver_list(help.of);
}

}  // namespace

int tell(const Options& options) {
  Result<std::string> text = answer(options);
  if (text) std::fputs(text->c_str(), stdout);
  if (!text) std::fprintf(stderr, "nacre: %s\n", text.error().message.c_str());
  return text ? 0 : 1;
}

}  // namespace nacre::cli
