#include "qmp/schema.hpp"

namespace nacre::qmp {
namespace json = boost::json;
namespace {

// Builtin types that arguments refer to by name.
constexpr std::pair<Type, std::string_view> kBuiltin[] = {
    {Type::String, "str"}, {Type::Int, "int"}, {Type::Number, "number"}, {Type::Bool, "bool"}, {Type::Any, "any"}};

std::string_view json_type(Type type) {
  switch (type) {
    case Type::String:
      return "string";
    case Type::Int:
      return "int";
    case Type::Number:
      return "number";
    case Type::Bool:
      return "boolean";
    default:
      return "value";
  }
}

class Builder {
 public:
  Builder() {
    for (auto [type, name] : kBuiltin)
      list_.push_back(json::object{{"name", name}, {"meta-type", "builtin"}, {"json-type", json_type(type)}});
    list_.push_back(json::object{{"name", "[any]"}, {"meta-type", "array"}, {"element-type", "any"}});
    list_.push_back(json::object{{"name", "q_empty"}, {"meta-type", "object"}, {"members", json::array()}});
  }

  // Adds an object type and returns its name.
  std::string object(const std::string& name, std::span<const Argument> members) {
    if (members.empty()) return "q_empty";
    json::array described;
    for (const Argument& member : members) {
      json::object entry{{"name", member.name}, {"type", type_of(name, member)}};
      if (!member.required) entry["default"] = nullptr;
      described.push_back(std::move(entry));
    }
    list_.push_back(json::object{{"name", name}, {"meta-type", "object"}, {"members", std::move(described)}});
    return name;
  }
  void add(json::object entry) { list_.push_back(std::move(entry)); }
  json::array take() { return std::move(list_); }

 private:
  std::string type_of(const std::string& owner, const Argument& argument) {
    std::string name = owner + "-" + std::string(argument.name);
    if (!argument.values.empty()) {
      json::array values, members;
      for (std::string_view value : argument.values) {
        values.push_back(json::string(value));
        members.push_back(json::object{{"name", value}});
      }
      list_.push_back(json::object{
          {"name", name}, {"meta-type", "enum"}, {"values", std::move(values)}, {"members", std::move(members)}});
      return name;
    }
    if (argument.type == Type::Object && !argument.members.empty()) return object(name, argument.members);
    if (argument.type == Type::Array) return "[any]";
    for (auto [type, builtin] : kBuiltin)
      if (type == argument.type) return std::string(builtin);
    return "any";
  }

  json::array list_;
};

}  // namespace

json::array schema(const std::list<Command>& commands, std::span<const Event> events) {
  Builder builder;
  for (const Command& command : commands) {
    std::string name(command.name);
    builder.add({{"name", name},
                 {"meta-type", "command"},
                 {"arg-type", builder.object(name + "-arg", command.arguments)},
                 {"ret-type", "any"},
                 {"description", command.help}});
  }
  for (const Event& event : events) {
    std::string name(event.name);
    builder.add({{"name", name},
                 {"meta-type", "event"},
                 {"arg-type", builder.object(name + "-arg", event.data)},
                 {"description", event.help}});
  }
  return builder.take();
}

}  // namespace nacre::qmp
