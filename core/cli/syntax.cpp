#include "core/cli/syntax.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "core/base/suggest.hpp"

namespace nacre::cli {
namespace {

bool contains(std::string_view words, std::string_view word) {
  const std::vector<std::string> all = split_words(words);
  return std::any_of(all.begin(), all.end(), [&](const std::string& one) { return same_word(one, word); });
}

std::vector<std::string> key_names(const Grammar& grammar, std::string_view kind) {
  std::vector<std::string> names;
  for (const Key& key : grammar.keys)
    if (key.type != ValueType::Later && goes_with(key, kind) && !(grammar.bare_first && &key == &grammar.keys[0]))
      names.emplace_back(key.name);
  return names;
}

Error unknown_key(std::string_view option, std::string_view element, std::string_view name, const Grammar& grammar,
                  std::string_view kind) {
  const std::vector<std::string> names = key_names(grammar, kind);
  const std::string whose = kind.empty() ? std::string(option) : fmt::format("{} {}", option, kind);
  if (names.empty()) return fail("{}: '{}' is not understood; there is nothing to add to it.", whose, element);
  return fail("{}: there is no '{}'; there is {}.{}", whose, name, any_of(names), did_you_mean(name, names));
}

}  // namespace

std::string without_sign(const Grammar& grammar, const std::string& element) {
  if (!grammar.signs || element.size() < 2 || (element[0] != '+' && element[0] != '-')) return element;
  if (element.find('=') != std::string::npos) return element;
  return element.substr(1) + (element[0] == '+' ? "=on" : "=off");
}

const Key* find_key(const Grammar& grammar, std::string_view name) {
  for (const Key& key : grammar.keys)
    if (same_word(key.name, name)) return &key;
  return nullptr;
}

const Key* deciding_key(const Grammar& grammar) {
  for (const Key& key : grammar.keys)
    if (key.foreign) return &key;
  return grammar.bare_first ? &grammar.keys[0] : nullptr;
}

std::string decision(const Grammar& grammar, const std::vector<std::string>& elements) {
  const Key* key = deciding_key(grammar);
  for (const std::string& element : elements) {
    const size_t equals = element.find('=');
    if (equals != std::string::npos && key && find_key(grammar, element.substr(0, equals)) == key)
      return element.substr(equals + 1);
  }
  const bool bare = key && grammar.bare_first && key == &grammar.keys[0] && !elements.empty();
  return bare && elements[0].find('=') == std::string::npos ? elements[0] : std::string();
}

bool is_foreign(const Grammar& grammar, std::string_view decided) {
  const Key* key = deciding_key(grammar);
  return key && key->foreign && !decided.empty() && !contains(key->values, decided) && !contains(key->later, decided);
}

bool goes_with(const Key& key, std::string_view decided) {
  return key.kinds.empty() || decided.empty() || contains(key.kinds, decided);
}

const Fields::Field* Fields::find(std::string_view name) const {
  for (const Field& field : fields_)
    if (field.key->name == name) return &field;
  return nullptr;
}

std::string Fields::text(std::string_view name) const {
  const Field* field = find(name);
  return field ? field->text : std::string();
}

uint64_t Fields::number(std::string_view name, uint64_t fallback) const {
  const Field* field = find(name);
  return field ? field->number : fallback;
}

Result<Fields> parse_fields(std::string_view option, std::string_view value, const Grammar& grammar) {
  if (value.empty()) return fail("{} is empty; write its value.", option);
  Fields fields;
  const std::vector<std::string> elements = split_words(value, ',');
  const Key* decides = deciding_key(grammar);
  const std::string kind = decides && decides->type == ValueType::Choice ? decision(grammar, elements) : std::string();
  const bool foreign = is_foreign(grammar, kind), open = grammar.open || foreign;
  bool first = true;
  for (const std::string& written : elements) {
    const std::string element = without_sign(grammar, written);
    if (element.empty())
      return fail("{}: '{}' has an empty element; write no comma at its ends and one between elements.", option, value);
    const size_t equals = element.find('=');
    std::string_view name = std::string_view(element).substr(0, equals), text;
    const Key* key = nullptr;
    if (equals != std::string::npos) {
      text = std::string_view(element).substr(equals + 1);
      key = find_key(grammar, name);
      if (key && foreign && !goes_with(*key, kind)) key = nullptr;
      if (key && key->type == ValueType::Flag)
        return fail("{}: '{}' takes no value; write the word alone.", option, key->name);
    } else if (first && grammar.bare_first) {
      key = &grammar.keys[0];
      text = element;
      name = key->name;
    } else {
      key = find_key(grammar, name);
      if (key && foreign && !goes_with(*key, kind)) key = nullptr;
      if ((key || open) && !(key && key->type == ValueType::Flag))
        return fail("{}: '{}' has no value; write {}={}.", option, name, name, key ? placeholder(*key) : "VALUE");
    }
    if (key && !goes_with(*key, kind)) return unknown_key(option, element, name, grammar, kind);
    if (!key && (!open || name.empty())) return unknown_key(option, element, name, grammar, kind);
    first = false;
    if (!key) {
      for (const auto& other : fields.others)
        if (same_word(other.first, name)) return fail("{}: '{}' is given twice; give it once.", option, name);
      fields.others.emplace_back(name, text);
      continue;
    }
    if (fields.has(key->name)) return fail("{}: '{}' is given twice; give it once.", option, key->name);
    Result<Scalar> scalar = parse_scalar(fmt::format("{}: {}", option, key->name), text, *key);
    if (!scalar) return scalar.error();
    fields.fields_.push_back({key, std::move(scalar->text), scalar->number});
  }
  for (const Key& key : grammar.keys)
    if (key.required && goes_with(key, kind) && !fields.has(key.name)) {
      const bool bare = grammar.bare_first && &key == &grammar.keys[0];
      return fail("{}: {} is missing in '{}'; write {}{}{}.", option, key.name, value,
                  bare ? std::string() : std::string(key.name) + "=", placeholder(key), bare ? " first" : "");
    }
  return fields;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x == '_' ? '-' : x) == (y == '_' ? '-' : y); });
}

std::vector<std::string> split_words(std::string_view words, char separator) {
  std::vector<std::string> result;
  if (words.empty()) return result;
  for (;;) {
    const size_t end = words.find(separator);
    result.emplace_back(words.substr(0, end));
    if (end == std::string_view::npos) return result;
    words.remove_prefix(end + 1);
  }
}

std::string any_of(const std::vector<std::string>& words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += words[i];
  }
  return list;
}

Result<std::string> absolute_path(std::string_view path) {
  std::string from_root;
  if (!path.starts_with('/')) {
    char directory[PATH_MAX];
    if (!::getcwd(directory, sizeof directory))
      return fail("cannot make '{}' absolute: the working directory is not known: {}. Write it from the root.", path,
                  std::strerror(errno));
    from_root = directory;
    from_root += '/';
  }
  from_root += path;
  std::string result;
  for (const std::string& part : split_words(from_root, '/'))
    if (!part.empty() && part != ".") result.append("/").append(part);
  return result.empty() ? "/" : result;
}

}  // namespace nacre::cli
