#include "core/vm/plugin_back_end.hpp"

#include "core/base/suggest.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {

std::vector<std::string> built_in_back_ends(uint32_t kind) {
  switch (kind) {
    case NACRE_KIND_BLOCK:
      return {"file"};
    case NACRE_KIND_NET:
      return {"tap", "user"};
    case NACRE_KIND_CHARDEV:
      return {"stdio", "pty", "socket", "file", "null"};
    default:
      return {};
  }
}

namespace {

// `title` begins the sentence of a failure: "drive 'disk0'".
Result<LoadedType> load_back_end(Registry& registry, uint32_t kind, const std::string& driver,
                                 const std::string& plugin, const std::string& title) {
  Result<LoadedType> loaded = registry.load(kind, driver, plugin);
  if (loaded) return loaded;
  const std::vector<std::string> own = built_in_back_ends(kind);
  std::vector<std::string> all = own;
  for (const DriverInfo& info : registry.drivers(kind)) all.push_back(info.name);
  std::string list;
  for (const std::string& name : own) list += (list.empty() ? "" : ", ") + name;
  const std::string near = nearest(driver, all);
  if (std::find(own.begin(), own.end(), near) != own.end())
    return fail("{}: there is no '{}', neither built in ({}) nor of a plugin. Did you mean '{}'?", title, driver, list,
                near);
  if (!near.empty()) return fail("{}: {}", title, loaded.error().message);
  return fail("{}: {} Built in: {}.", title, loaded.error().message, list);
}

}  // namespace

PluginInstance::~PluginInstance() {
  if (!instance_) return;
  services::take_back(*instance_);
  instance_->vm.plugin_back_ends().erase(instance_.get());
}

Status PluginInstance::prepare(VirtualMachine& vm, const PluginBackEndOptions& options) {
  PropertyValues::Given given = options.properties;
  std::string plugin;  // among several that offer the driver
  for (const auto& [name, value] : given)
    if (name == "plugin") plugin = value;
  std::erase_if(given, [](const auto& one) { return one.first == "plugin"; });
  const char* thing = options.kind == NACRE_KIND_BLOCK ? "drive"
                      : options.kind == NACRE_KIND_NET ? "netdev"
                                                       : "chardev";
  const std::string title = fmt::format("{} '{}'", thing, options.id);
  Result<LoadedType> loaded = load_back_end(vm.registry(), options.kind, options.driver, plugin, title);
  if (!loaded) return loaded.error();
  Result<PropertyValues> values = PropertyValues::parse(*loaded->type, given);
  if (!values) return fail("{}: {}", title, values.error().message);
  instance_ = std::make_unique<nacre_instance>(
      nacre_instance{vm, loaded->type, options.id, loaded->plugin_id, std::move(*values)});
  instance_->loop = &vm.loop();
  vm.plugin_back_ends().insert(instance_.get());
  return {};
}

Status PluginInstance::outcome(const char* function, nacre_status code, const ErrorSlot& slot) const {
  if (code == NACRE_OK) return {};
  if (code == NACRE_PLUGIN_EXCEPTION) {
    const std::string reason = exception_text(instance_->plugin_id, function, slot.text(""), instance_->id);
    instance_->vm.report_failure(instance_->type, reason);
    return fail("{}", reason);
  }
  return fail("{}: {}", instance_->name(), slot.text("it cannot be made, and its plugin gave no reason."));
}

}  // namespace nacre
