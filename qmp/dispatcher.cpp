#include "qmp/dispatcher.hpp"

#include <algorithm>
#include <exception>
#include <new>

#include "core/base/memory_reserve.hpp"
#include "qmp/schema.hpp"
#include "qmp/text.hpp"

namespace nacre::qmp {
namespace json = boost::json;
namespace {

const char* class_name(ErrorClass kind) {
  switch (kind) {
    case ErrorClass::CommandNotFound:
      return "CommandNotFound";
    case ErrorClass::DeviceNotFound:
      return "DeviceNotFound";
    case ErrorClass::DeviceNotActive:
      return "DeviceNotActive";
    case ErrorClass::Throttled:
      return "OperationThrottled";
    case ErrorClass::Generic:
      break;
  }
  return "GenericError";
}

json::object error_object(const Error& error) {
  return {{"error", json::object{{"class", class_name(error.kind)}, {"desc", made_utf8(error.message)}}}};
}

constexpr Argument kCapabilities[] = {
    {"enable", Type::Array, false, "capabilities to enable; there are none"},
};

}  // namespace

Dispatcher::Dispatcher(std::string package) : package_(std::move(package)) {
  using Value = Result<json::value>;
  add({"qmp_capabilities", "begins a session; not demanded", "nothing", kCapabilities,
       [](const json::object&, Context&) -> Value { return json::object(); }});
  add({"query-version", "the version of this program", "object", {}, [this](const json::object&, Context&) -> Value {
         return version();
       }});
  add({"query-commands", "the names of all commands", "list", {}, [this](const json::object&, Context&) -> Value {
         json::array list;
         for (const Command& command : commands_) list.push_back(json::object{{"name", command.name}});
         return list;
       }});
  add({"query-events", "the names of all events", "list", {}, [this](const json::object&, Context&) -> Value {
         json::array list;
         for (const Event& event : events_) list.push_back(json::object{{"name", event.name}});
         return list;
       }});
  add({"query-qmp-schema",
       "all commands and events with their arguments",
       "list",
       {},
       [this](const json::object&, Context&) -> Value { return schema(commands_, events_); }});
}

void Dispatcher::add(Command command) {
  commands_.push_back(std::move(command));
}

Status Dispatcher::add_plugin_command(const std::string& name, const std::string& help, Handler handler) {
  for (const Command& command : commands_)
    if (command.name == name) return fail("there is a command '{}' already.", name);
  const PluginCommand& texts = plugin_commands_.emplace_back(PluginCommand{name, help});
  add({texts.name, texts.help, "any", {}, std::move(handler), true});
  return {};
}

void Dispatcher::remove_plugin_command(const std::string& name) {
  commands_.remove_if([&](const Command& command) { return command.name == name; });
  plugin_commands_.remove_if([&](const PluginCommand& command) { return command.name == name; });
}

// Clients of QEMU look for "qemu" and want a major version of at least 5, which StratoVirt therefore says too.
json::object Dispatcher::version() const {
  return {{"qemu", json::object{{"micro", 1}, {"minor", 0}, {"major", 5}}}, {"package", package_}};
}

std::string Dispatcher::greeting() const {
  return json::serialize(json::object{{"QMP", json::object{{"version", version()}, {"capabilities", json::array()}}}});
}

std::string Dispatcher::refusal(std::string_view sentence) {
  return json::serialize(error_object(fail("{}", sentence)));
}

std::string Dispatcher::answer(const std::string& request, Context& context) {
  json::error_code failed;
  json::parse_options options;
  options.max_depth = 64;
  json::value parsed = json::parse(request, failed, {}, options);
  if (failed && !is_utf8(request)) return refusal("the request is not valid UTF-8.");
  if (failed || !parsed.is_object()) return refusal("the request is not valid JSON: " + failed.message() + ".");
  const json::object& object = parsed.get_object();
  Result<json::value> outcome = carry_out(object, context);
  json::object answer = outcome ? json::object{{"return", std::move(*outcome)}} : error_object(outcome.error());
  if (const json::value* id = object.if_contains("id")) answer["id"] = *id;
  return json::serialize(answer);
}

Result<json::value> Dispatcher::carry_out(const json::object& request, Context& context) {
  for (const auto& member : request) {
    std::string_view key(member.key());
    if (key == "exec-oob") return fail("'exec-oob' is not supported; send the command with 'execute'.");
    if (key != "execute" && key != "arguments" && key != "id")
      return fail("a request has no member '{}'; it has: execute, arguments, id.", clipped(key));
  }
  const json::value* name = request.if_contains("execute");
  if (!name || !name->is_string()) return fail("a request names its command in 'execute', as a string.");
  std::string_view wanted = name->get_string();
  auto command = std::find_if(commands_.begin(), commands_.end(), [&](auto& known) { return known.name == wanted; });
  if (command == commands_.end()) {
    std::vector<std::string> names;
    for (const Command& known : commands_) names.emplace_back(known.name);
    return Error{fmt::format("The command {} has not been found.{}", clipped(wanted), suggestion(wanted, names)),
                 ErrorClass::CommandNotFound};
  }
  static const json::object kNone;
  const json::value* arguments = request.if_contains("arguments");
  if (arguments && !arguments->is_object()) return fail("'arguments' of '{}' must be an object.", wanted);
  const json::object& given = arguments ? arguments->get_object() : kNone;
  if (Status fitting = check_arguments(*command, given); !fitting) return fitting.error();
  if (command->makes && !memory_reserve::restore())
    return fail("'{}' is refused: the host has no memory left, and what there is needs the rest.", wanted);
  // A copy: the command may remove itself, with the plugin that it belongs to.
  Handler handler = command->handler;
  try {
    return handler(given, context);
  } catch (const std::bad_alloc&) {
    return fail("'{}' failed: the host has no memory for it.", wanted);
  } catch (const std::exception& exception) {
    return fail("'{}' failed: {}.", wanted, exception.what());
  }
}

}  // namespace nacre::qmp
