#include "qmp/command.hpp"

#include <algorithm>

#include "qmp/text.hpp"

namespace nacre::qmp {
namespace json = boost::json;
namespace {

bool fits(Type type, const json::value& value) {
  switch (type) {
    case Type::String:
      return value.is_string();
    case Type::Int:
      return value.is_int64() || value.is_uint64();
    case Type::Number:
      return value.is_number();
    case Type::Bool:
      return value.is_bool();
    case Type::Object:
      return value.is_object();
    case Type::Array:
      return value.is_array();
    case Type::Any:
      return true;
  }
  return false;
}

std::vector<std::string> names(std::span<const Argument> arguments) {
  std::vector<std::string> list;
  for (const Argument& argument : arguments) list.emplace_back(argument.name);
  return list;
}

std::string joined(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text.empty() ? "none" : text;
}

// `path` is where the arguments are: "" or "file.".
Status check(std::string_view command, const std::string& path, std::span<const Argument> declared, bool takes_more,
             const json::object& given) {
  for (const Argument& argument : declared)
    if (argument.required && !given.contains(argument.name))
      return fail("'{}' needs the argument '{}{}' ({}).", command, path, argument.name, in_words(argument.type));
  for (const auto& member : given) {
    std::string_view key(member.key());
    auto found = std::find_if(declared.begin(), declared.end(), [&](auto& argument) { return argument.name == key; });
    if (found == declared.end()) {
      if (takes_more) continue;
      std::vector<std::string> known = names(declared);
      return fail("'{}' has no argument '{}{}'; it takes: {}.{}", command, path, clipped(key), joined(known),
                  suggestion(key, known));
    }
    const json::value& value = member.value();
    if (!fits(found->type, value))
      return fail("the argument '{}{}' of '{}' must be {}, not {}.", path, key, command, in_words(found->type),
                  clipped(json::serialize(value)));
    if (!found->values.empty()) {
      std::vector<std::string> allowed(found->values.begin(), found->values.end());
      std::string_view text = value.get_string();
      if (std::find(allowed.begin(), allowed.end(), text) == allowed.end())
        return fail("the argument '{}{}' of '{}' is '{}'; it may be: {}.{}", path, key, command, clipped(text),
                    joined(allowed), suggestion(text, allowed));
    }
    if (!found->members.empty())
      if (Status inner = check(command, path + std::string(key) + ".", found->members, false, value.get_object());
          !inner)
        return inner;
  }
  return {};
}

}  // namespace

std::string_view in_words(Type type) {
  switch (type) {
    case Type::String:
      return "a string";
    case Type::Int:
      return "an integer";
    case Type::Number:
      return "a number";
    case Type::Bool:
      return "true or false";
    case Type::Object:
      return "an object";
    case Type::Array:
      return "an array";
    case Type::Any:
      break;
  }
  return "any value";
}

Status check_arguments(const Command& command, const json::object& arguments) {
  if (command.other.is && command.other.is(arguments))
    return check(command.name, "", command.other.arguments, true, arguments);
  return check(command.name, "", command.arguments, command.takes_more, arguments);
}

}  // namespace nacre::qmp
