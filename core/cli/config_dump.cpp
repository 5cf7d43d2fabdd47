// The configuration file that a command line stands for, and the schema of all such files.
#include <limits>

#include "core/cli/config_file.hpp"

namespace nacre::cli {
namespace {

namespace json = boost::json;

// In the JSON type of its key.
json::value typed(std::string_view text, const Key* key) {
  if (!key) return json::value(text);
  Result<Scalar> scalar = parse_scalar("", text, *key);
  if (scalar && key->type == ValueType::Bool) return json::value(scalar->number != 0);
  if (scalar && key->type == ValueType::Integer) return json::value(scalar->number);
  return json::value(text);
}

json::value option_value(const ConfigItem& item) {
  const Option& option = *item.option;
  if (option.takes == Takes::Nothing) return true;
  const bool reference = option.name == "serial" && item.text.starts_with("chardev:");
  if (option.grammar.keys.empty() || reference) return json::value(item.text);
  json::object object;
  bool first = option.grammar.bare_first;
  for (const std::string& written : split_words(item.text, ',')) {
    const std::string element = without_sign(option.grammar, written);
    const size_t equals = element.find('=');
    const Key* key = find_key(option.grammar, element.substr(0, equals));
    if (equals != std::string::npos)
      object[key ? key->name : element.substr(0, equals)] = typed(std::string_view(element).substr(equals + 1), key);
    else if (first)
      object[option.grammar.keys[0].name] = typed(element, &option.grammar.keys[0]);
    else
      object[key ? key->name : element] = true;
    first = false;
  }
  return object;
}

void write(std::string& out, const json::value& value, size_t depth) {
  const std::string inner(2 * depth + 2, ' '), outer(2 * depth, ' ');
  if (const json::object* object = value.if_object(); object && !object->empty()) {
    out += "{\n";
    bool first = true;
    for (const auto& member : *object) {
      out.append(first ? "" : ",\n").append(inner).append(json::serialize(member.key())).append(": ");
      write(out, member.value(), depth + 1);
      first = false;
    }
    out.append("\n").append(outer).append("}");
  } else if (const json::array* array = value.if_array(); array && !array->empty() && !array->front().is_string()) {
    out += "[\n";
    for (size_t i = 0; i < array->size(); ++i) {
      out.append(i ? ",\n" : "").append(inner);
      write(out, (*array)[i], depth + 1);
    }
    out.append("\n").append(outer).append("]");
  } else {
    out += json::serialize(value);
  }
}

// Of one key of an option.
json::object key_schema(const Key* key) {
  if (!key) return {};  // a property: its driver knows
  json::object schema;
  if (!key->help.empty()) schema["description"] = key->help;
  switch (key->type) {
    case ValueType::Bool:
    case ValueType::Flag:
      schema["type"] = "boolean";
      break;
    case ValueType::Integer:
      schema["type"] = "integer";
      schema["minimum"] = key->low;
      if (key->high != std::numeric_limits<uint64_t>::max()) schema["maximum"] = key->high;
      break;
    case ValueType::Choice: {
      if (key->foreign) {
        schema["type"] = "string";
        break;
      }
      json::array values;
      for (const std::string& word : split_words(key->values)) values.emplace_back(word);
      schema["enum"] = std::move(values);
      break;
    }
    default:
      schema["type"] = json::array{"string", "integer"};
      break;
  }
  return schema;
}

json::object object_schema(json::object properties, json::array required, bool open) {
  json::object schema{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (!open) schema["additionalProperties"] = false;
  return schema;
}

json::value one_or_several(json::object one, bool several) {
  if (!several) return one;
  json::object list{{"type", "array"}, {"items", one}};
  return json::object{{"anyOf", json::array{std::move(one), std::move(list)}}};
}

json::object section_schema(const ConfigSection& section) {
  json::object properties;
  json::array required;
  for (const ConfigKey& key : section.keys) {
    const std::string to = split_words(key.to).front();
    const size_t dot = to.find('.');
    const Option& option = *find_option(to.substr(0, dot));
    json::object schema = dot == std::string::npos ? json::object{{"type", "string"}}
                                                   : key_schema(find_key(option.grammar, to.substr(dot + 1)));
    if (key.as == ConfigKey::As::Not) schema = {{"type", "boolean"}};
    if (key.as == ConfigKey::As::On) schema = {{"const", key.only}};
    if (key.as == ConfigKey::As::Bytes) schema = {{"type", "integer"}, {"multipleOf", 1024}};
    if (key.name.ends_with("_fds")) schema = {{"type", json::array{"string", "array"}}};
    properties[key.name] = std::move(schema);
    if (key.required) required.emplace_back(key.name);
  }
  return object_schema(std::move(properties), std::move(required), false);
}

bool has_foreign(const Grammar& grammar) {
  const Key* decides = deciding_key(grammar);
  return decides && decides->foreign;
}

json::object option_schema(const Option& option) {
  json::object schema;
  if (option.takes == Takes::Nothing) {
    schema["type"] = "boolean";
  } else if (option.grammar.keys.empty()) {
    schema["type"] = json::array{"string", "integer", "boolean"};
  } else {
    json::object properties;
    for (const Key& key : option.grammar.keys)
      if (key.type != ValueType::Later) properties[key.name] = key_schema(&key);
    if (option.name == "serial") properties["stdio"] = json::object{{"type", "boolean"}};
    json::array forms{json::object{{"type", json::array{"string", "integer"}}},
                      object_schema(std::move(properties), {}, option.grammar.open || has_foreign(option.grammar))};
    for (const ConfigSection& section : config_sections())
      if (section.option == option.name) forms.push_back(section_schema(section));
    schema["anyOf"] = std::move(forms);
  }
  schema["description"] = option.help;
  return schema;
}

}  // namespace

std::string pretty(const json::value& value) {
  std::string out;
  write(out, value, 0);
  return out + "\n";
}

// In the order of the table, so that equal files are equal texts.
std::string dump_config(std::span<const ConfigItem> items) {
  json::object root;
  for (const Option& option : option_table()) {
    if (!can_be_configured(option)) continue;
    json::array values;
    for (const ConfigItem& item : items)
      if (item.option == &option) values.push_back(option_value(item));
    if (values.empty()) continue;
    if (option.repeatable)
      root[option.name] = std::move(values);
    else
      root[option.name] = std::move(values.front());
  }
  return pretty(root);
}

std::string config_schema() {
  json::object properties;
  for (const ConfigSection& section : config_sections())
    properties[section.name] = one_or_several(section_schema(section), section.list);
  for (const Option& option : option_table())
    if (can_be_configured(option)) properties[option.name] = one_or_several(option_schema(option), option.repeatable);
  json::object root{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", "A virtual machine for nacre -config"}};
  for (auto& member : object_schema(std::move(properties), {}, false)) root[member.key()] = std::move(member.value());
  return pretty(root);
}

}  // namespace nacre::cli
