#include "core/cli/config_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/fd.hpp"
#include "core/base/suggest.hpp"

namespace nacre::cli {
namespace {

namespace json = boost::json;

constexpr size_t kMaxBytes = 1 << 20;

std::string at(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// A scalar as the command line writes it.
Result<std::string> in_words(const std::string& path, const json::value& value) {
  std::string text;
  if (value.is_string())
    text = value.get_string();
  else if (value.is_bool())
    text = value.get_bool() ? "on" : "off";
  else if (value.is_int64() || value.is_uint64())
    text = json::serialize(value);
  else if (const json::array* list = value.if_array()) {  // descriptors: [3, 4] is 3:4
    for (const json::value& one : *list) {
      if (!one.is_int64() && !one.is_string()) return fail("{}: must be a list of numbers.", path);
      text += (text.empty() ? "" : ":") + (one.is_string() ? std::string(one.get_string()) : json::serialize(one));
    }
  } else {
    return fail("{}: must be a string, a number, true or false.", path);
  }
  return text;
}

// Checks a value by the key that it is for, if that is one of ours (a device's properties are its driver's).
Status check(const std::string& path, const std::string& text, const Key* key) {
  if (text.find(',') != std::string::npos) return fail("{}: '{}' has a comma, which no value can have.", path, text);
  if (!key || key->type == ValueType::Flag) return {};
  Result<Scalar> scalar = parse_scalar(path, text, *key);
  return scalar ? Status() : scalar.error();
}

Error unknown(const std::string& path, std::string_view name, const std::vector<std::string>& names) {
  return fail("{}: there is no such key; there is {}.{}", at(path, name), any_of(names), did_you_mean(name, names));
}

// The words of one section or option while they are collected, in the order in which options first came.
class Words {
 public:
  void begin(std::string_view option) { text_of(option); }
  void add(std::string_view option, std::string_view element) {
    std::string& text = text_of(option);
    if (!text.empty()) text += ',';
    text += element;
  }
  // "option TEXT | option TEXT".
  void add_all(std::string_view list) {
    for (std::string_view rest = list; !rest.empty();) {
      const size_t end = rest.find(" | ");
      const std::string_view one = rest.substr(0, end);
      const size_t space = one.find(' ');
      begin(one.substr(0, space));
      if (space != std::string_view::npos) add(one.substr(0, space), one.substr(space + 1));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 3);
    }
  }
  void give(std::vector<ConfigItem>& items) {
    for (auto& [option, text] : texts_) items.push_back({find_option(option), std::move(text)});
  }

 private:
  std::string& text_of(std::string_view option) {
    for (auto& [name, text] : texts_)
      if (name == option) return text;
    return texts_.emplace_back(option, "").second;
  }
  std::vector<std::pair<std::string, std::string>> texts_;
};

Status add_key(Words& words, const ConfigKey& key, const std::string& path, const json::value& value) {
  Result<std::string> text = in_words(path, value);
  if (!text) return text.error();
  if (key.as == ConfigKey::As::Not) {
    if (!value.is_bool()) return fail("{}: must be true or false.", path);
    *text = value.get_bool() ? "off" : "on";
  }
  if (key.as == ConfigKey::As::On) {
    if (!value.is_string() || std::string_view(value.get_string()) != key.only)
      return fail("{}: must be \"{}\"; leave it out otherwise.", path, key.only);
    *text = "on";
  }
  if (key.as == ConfigKey::As::Bytes) {
    if (!value.is_int64() || value.get_int64() <= 0 || value.get_int64() % 1024)
      return fail("{}: must be a number of bytes, a multiple of 1024.", path);
    *text = std::to_string(value.get_int64() / 1024) + "K";
  }
  for (const std::string& to : split_words(key.to)) {
    const size_t dot = to.find('.');
    const std::string option = to.substr(0, dot);
    if (dot == std::string::npos) {  // an option without keys: a path or free text, where a comma may be
      words.add(option, *text);
      continue;
    }
    const std::string name = to.substr(dot + 1);
    if (Status fits = check(path, *text, find_key(find_option(option)->grammar, name)); !fits) return fits;
    words.add(option, name + "=" + *text);
  }
  return {};
}

Status add_section(std::vector<ConfigItem>& items, const ConfigSection& section, const std::string& path,
                   const json::value& value, bool first) {
  const json::object* object = value.if_object();
  if (!object) return fail("{}: must be an object.", path);
  std::vector<std::string> names;
  for (const ConfigKey& key : section.keys) names.emplace_back(key.name);
  for (const auto& member : *object)
    if (std::find(names.begin(), names.end(), member.key()) == names.end()) return unknown(path, member.key(), names);
  if (first) {
    Words once;
    once.add_all(section.once);
    once.give(items);
  }
  Words words;
  words.add_all(section.always);
  for (const ConfigKey& key : section.keys) {
    const json::value* given = object->if_contains(key.name);
    if (!given) {
      if (key.required) return fail("{}: is missing.", at(path, key.name));
      continue;
    }
    if (Status added = add_key(words, key, at(path, key.name), *given); !added) return added;
  }
  words.give(items);
  return {};
}

// {"stdio": true}, as StratoVirt had it.
bool is_stdio(const Option& option, const json::value& value) {
  const json::object* object = value.if_object();
  const json::value* stdio = object && object->size() == 1 ? object->if_contains("stdio") : nullptr;
  return option.name == "serial" && stdio && stdio->is_bool() && stdio->get_bool();
}

// An option under its own name.
Status add_option(std::vector<ConfigItem>& items, const Option& option, const std::string& path,
                  const json::value& value) {
  if (is_stdio(option, value)) {
    items.push_back({&option, "kind=stdio"});
    return {};
  }
  if (option.takes == Takes::Nothing) {
    if (!value.is_bool()) return fail("{}: must be true or false.", path);
    if (value.get_bool()) items.push_back({&option, ""});
    return {};
  }
  const json::object* object = value.if_object();
  if (!object) {
    Result<std::string> text = in_words(path, value);
    if (!text) return text.error();
    items.push_back({&option, *text});
    return {};
  }
  if (option.grammar.keys.empty()) return fail("{}: must be a string or a number.", path);
  std::vector<std::string> names;
  for (const Key& key : option.grammar.keys) names.emplace_back(key.name);
  const Key* decides = deciding_key(option.grammar);
  const std::string_view leading = decides ? decides->name : option.grammar.keys[0].name;
  const json::value* first = object->if_contains(leading);
  const std::string decided = first && first->is_string() ? std::string(first->get_string()) : std::string();
  const bool foreign = is_foreign(option.grammar, decided);
  Words words;
  auto add = [&](std::string_view name, const json::value& given) -> Status {
    const Key* key = find_key(option.grammar, name);
    if (key && foreign && !goes_with(*key, decided)) key = nullptr;  // the plugin's
    if (!key && !option.grammar.open && !foreign) return unknown(path, name, names);
    if (!key && (name.empty() || name.find_first_of(",=") != std::string_view::npos))
      return fail("{}: '{}' is no name of a property: it is empty, or has a comma or an equals sign.", path, name);
    if (key && key->type == ValueType::Flag) {
      if (!given.is_bool()) return fail("{}: must be true or false.", at(path, name));
      if (given.get_bool()) words.add(option.name, key->name);
      return {};
    }
    Result<std::string> text = in_words(at(path, name), given);
    if (!text) return text.error();
    if (Status fits = check(at(path, name), *text, key); !fits) return fits;
    words.add(option.name, fmt::format("{}={}", key ? key->name : name, *text));
    return {};
  };
  if (first)
    if (Status added = add(leading, *first); !added) return added;
  for (const auto& member : *object)
    if (std::string_view(member.key()) != leading)
      if (Status added = add(member.key(), member.value()); !added) return added;
  words.give(items);
  return {};
}

}  // namespace

bool can_be_configured(const Option& option) {
  return option.section != Section::Later && option.section != Section::Ignored && option.apply &&
         option.name != "config" && option.name != "dump-config";
}

Result<std::vector<ConfigItem>> parse_config(std::string_view text, const std::string& name) {
  boost::system::error_code wrong;
  json::value root = json::parse(text, wrong);
  if (wrong) return fail("{} is not JSON: {}.", name, wrong.message());
  if (std::string path = repeated_key(text); !path.empty())
    return fail("{}: {}: the key is given twice in one object; leave one out.", name, path);
  const json::object* object = root.if_object();
  if (!object) return fail("{}: the file must hold one object, {{\"boot-source\": {{...}}, ...}}.", name);

  std::vector<ConfigItem> items;
  std::vector<std::string> names;
  for (const ConfigSection& section : config_sections()) names.emplace_back(section.name);
  for (const Option& option : option_table())
    if (can_be_configured(option)) names.emplace_back(option.name);
  for (const auto& member : *object)
    if (std::find(names.begin(), names.end(), member.key()) == names.end())
      return fail("{}: {}: there is no such key.{}", name, std::string_view(member.key()),
                  did_you_mean(member.key(), names));

  auto each = [&](const json::value& value, const std::string& path, bool list, auto add) -> Status {
    const json::array* array = value.if_array();
    if (!list || !array) return add(path, value, true);
    for (size_t i = 0; i < array->size(); ++i)
      if (Status added = add(fmt::format("{}[{}]", path, i), (*array)[i], i == 0); !added) return added;
    return {};
  };
  for (const ConfigSection& section : config_sections()) {
    const json::value* value = object->if_contains(section.name);
    if (!value) continue;
    Status added = each(*value, std::string(section.name), section.list,
                        [&](const std::string& path, const json::value& one, bool first) {
                          return add_section(items, section, path, one, first);
                        });
    if (!added) return fail("{}: {}", name, added.error().message);
  }
  for (const Option& option : option_table()) {
    const json::value* value = can_be_configured(option) ? object->if_contains(option.name) : nullptr;
    if (!value) continue;
    Status added = each(*value, std::string(option.name), option.repeatable,
                        [&](const std::string& path, const json::value& one, bool first) {
                          const json::object* element = one.if_object();
                          for (const ConfigSection& section : config_sections())
                            if (element && section.option == option.name && element->contains(section.keys[0].name))
                              return add_section(items, section, path, one, first);
                          return add_option(items, option, path, one);
                        });
    if (!added) return fail("{}: {}", name, added.error().message);
  }
  return items;
}

Result<std::vector<ConfigItem>> read_config(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail("-config: cannot open '{}': {}.", path, strerror(errno));
  std::string text;
  char piece[16384];
  ssize_t bytes;
  while ((bytes = ::read(fd.get(), piece, sizeof piece)) > 0 && text.size() <= kMaxBytes)
    text.append(piece, static_cast<size_t>(bytes));
  if (bytes < 0) return fail("-config: cannot read '{}': {}.", path, strerror(errno));
  if (text.size() > kMaxBytes)
    return fail("-config: '{}' is larger than {} bytes; it is no description.", path, kMaxBytes);
  return parse_config(text, path);
}

}  // namespace nacre::cli
