#include "core/vm/commands/properties.hpp"

#include <algorithm>

namespace nacre::commands {
namespace json = boost::json;
namespace {

Result<std::string> in_text(std::string_view command, std::string_view name, const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (value.is_int64() || value.is_uint64()) return json::serialize(value);
  return fail("the property '{}' of '{}' must be a string, a number or true or false.", name, command);
}

}  // namespace

Result<PropertyValues::Given> properties_in(std::string_view command, const json::object& arguments,
                                            std::initializer_list<std::string_view> but) {
  PropertyValues::Given given;
  for (const auto& member : arguments) {
    const std::string_view name(member.key());
    if (std::find(but.begin(), but.end(), name) != but.end()) continue;
    Result<std::string> text = in_text(command, name, member.value());
    if (!text) return text.error();
    given.emplace_back(name, *text);
  }
  return given;
}

}  // namespace nacre::commands
