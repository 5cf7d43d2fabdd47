#include "core/cli/tell.hpp"

#include <cstdio>

#include "core/cli/plugin_options.hpp"
#include "core/plugin/properties.hpp"

namespace nacre::cli {
namespace {

Result<std::string> answer(const Options& options) {
  const HelpRequest& help = *options.help;
  if (help.kind == HelpRequest::Kind::Text) return help.text;
  Result<std::unique_ptr<Registry>> registry = open_registry(options.plugin);
  if (!registry) return registry.error();
  auto properties = [&](uint32_t kind) -> Result<std::string> {
    Result<LoadedType> loaded = (*registry)->load(kind, help.name);
    if (!loaded) return loaded.error();
    return help.text + describe(*loaded->type);
  };
  switch (help.kind) {
    case HelpRequest::Kind::Machines:
      return help.text + (*registry)->driver_list(NACRE_KIND_MACHINE);
    case HelpRequest::Kind::Devices:
      return help.text + (*registry)->driver_list(NACRE_KIND_DEVICE);
    case HelpRequest::Kind::MachineProperties:
      return properties(NACRE_KIND_MACHINE);
    case HelpRequest::Kind::DeviceProperties:
      return properties(NACRE_KIND_DEVICE);
    default:
      return (*registry)->plugin_list();
  }
}

}  // namespace

int tell(const Options& options) {
  Result<std::string> text = answer(options);
  if (text) std::fputs(text->c_str(), stdout);
  if (!text) std::fprintf(stderr, "nacre: %s\n", text.error().message.c_str());
  return text ? 0 : 1;
}

}  // namespace nacre::cli
