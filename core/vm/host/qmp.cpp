#include <algorithm>
#include <string_view>

#include "core/base/error_slot.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

struct nacre_qmp_reply {
  std::string json = "{}";
};

namespace nacre::services {
namespace {

nacre_status command(nacre_instance* instance, const char* name, const char* help, nacre_qmp_handler handler,
                     void* opaque, nacre_error* slot) noexcept {
  if (!std::string_view(name).starts_with("x-"))
    return finish(fail("the command '{}' of plugin '{}' must begin with 'x-'.", name, instance->plugin_id), slot);
  PluginMonitor* monitor = instance->vm.monitor();
  if (!monitor) return finish(fail("this VMM has no monitor for the command '{}'.", name), slot, NACRE_UNSUPPORTED);
  auto call = [=](const std::string& arguments) -> Result<std::string> {
    nacre_qmp_reply reply;
    ErrorSlot words;
    if (handler(opaque, arguments.c_str(), &reply, words.handle()) == NACRE_OK) return reply.json;
    return fail("{}", words.text("the plugin refused the command without a reason."));
  };
  Status added = monitor->add_command(name, help ? help : "", call);
  if (added) instance->commands.emplace_back(name);
  return finish(added, slot);
}

nacre_status reply_json(nacre_qmp_reply* reply, const char* json) noexcept {
  reply->json = json;
  return NACRE_OK;
}

nacre_status event(nacre_instance* instance, const char* name, const char* json) noexcept {
  VirtualMachine& vm = instance->vm;
  vm.loop().post([&vm, event_name = std::string(name), data = std::string(json)] {
    // A plugin's malformed event is its own loss; the monitor logs it.
    if (vm.monitor()) (void)vm.monitor()->emit(event_name, data);
  });
  return NACRE_OK;
}

}  // namespace

// NOLINTNEXTLINE(performance-unnecessary-value-param): the name may be one of those that are erased
void forget_command(nacre_instance& instance, std::string name) {
  if (instance.vm.monitor()) instance.vm.monitor()->remove_command(name);
  std::erase(instance.commands, name);
}

const nacre_qmp_v1 kQmp{sizeof(nacre_qmp_v1), 0, command, reply_json, event};

}  // namespace nacre::services
