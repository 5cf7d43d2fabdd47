#include "core/plugin/properties.hpp"

#include <fcntl.h>
#include <nacre/abi/note.h>
#include <regex.h>

#include <algorithm>
#include <bit>
#include <climits>
#include <cstring>
#include <memory>
#include <optional>

#include "core/base/log.hpp"
#include "core/base/suggest.hpp"
#include "core/plugin/values.hpp"

namespace nacre {
namespace {

struct Parsed {
  uint64_t number = 0;
  std::string text;  // in its one written form
};

std::string mac_text(uint64_t mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac >> 40, mac >> 32 & 0xff, mac >> 24 & 0xff,
                     mac >> 16 & 0xff, mac >> 8 & 0xff, mac & 0xff);
}

// The number of a descriptor beyond the three standard ones. Programs that this process starts do not get it.
std::optional<Parsed> parse_descriptor(std::string_view text) {
  std::optional<uint64_t> number = parse_number(text, 10);
  if (!number || *number < 3 || *number > INT_MAX) return std::nullopt;
  const int fd = static_cast<int>(*number);
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0) return std::nullopt;
  ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  return Parsed{*number, std::to_string(*number)};
}

// Returns nothing when it does not match; an error when the pattern itself is wrong.
Result<bool> matches(const char* pattern, const std::string& text) {
  regex_t regex;
  if (regcomp(&regex, fmt::format("^({})$", pattern).c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return fail("pattern '{}' is not a regular expression; this is a defect of the plugin.", pattern);
  int outcome = regexec(&regex, text.c_str(), 0, nullptr, 0);
  regfree(&regex);
  return outcome == 0;
}

bool in_range(const nacre_prop& property, uint64_t number) {
  if (number < property.min || (property.max != 0 && number > property.max)) return false;
  return !(property.flags & NACRE_PROP_POWER_OF_TWO) || std::has_single_bit(number);
}

// Nothing when the value is not allowed.
Result<std::optional<Parsed>> parse_value(const nacre_prop& property, const std::string& text) {
  using Outcome = std::optional<Parsed>;
  switch (property.type) {
    case NACRE_PROP_BOOL:
      if (std::optional<bool> value = parse_switch(text)) return Outcome({*value, *value ? "on" : "off"});
      return Outcome();
    case NACRE_PROP_U64:
    case NACRE_PROP_SIZE: {
      std::optional<uint64_t> number = property.type == NACRE_PROP_SIZE ? parse_size(text) : parse_number(text);
      if (!number || !in_range(property, *number)) return Outcome();
      return Outcome({*number, std::to_string(*number)});
    }
    case NACRE_PROP_STRING: {
      if (property.max != 0 && text.size() > property.max) return Outcome();
      if (text.size() < property.min || text.find('\0') != std::string::npos) return Outcome();
      if (property.pattern) {
        Result<bool> matched = matches(property.pattern, text);
        if (!matched) return matched.error();
        if (!*matched) return Outcome();
      }
      return Outcome({0, text});
    }
    case NACRE_PROP_ENUM:
      for (const char* const* value = property.values; value && *value; ++value)
        if (text == *value) return Outcome({static_cast<uint64_t>(value - property.values), text});
      return Outcome();
    case NACRE_PROP_NODE:
      return text.empty() ? Outcome() : Outcome({0, text});
    case NACRE_PROP_MAC:
      if (std::optional<uint64_t> mac = parse_mac(text)) return Outcome({*mac, mac_text(*mac)});
      return Outcome();
    case NACRE_PROP_PCI_ADDR:
      if (std::optional<uint8_t> at = parse_pci_address(text))
        return Outcome({*at, fmt::format("{:02x}.{:x}", *at >> 3, *at & 7)});
      return Outcome();
    case NACRE_PROP_FD:
      return parse_descriptor(text);
    default:
      return fail("it is of type {}, which this VMM does not know; use a newer Nacre.", property.type);
  }
}

std::string with_hyphens(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const nacre_prop* find_property(const std::vector<nacre_prop>& table, const std::string& name) {
  auto named = [](const std::string& word) {
    return [word](const nacre_prop& property) { return with_hyphens(property.name) == word; };
  };
  auto found = std::find_if(table.begin(), table.end(), named(with_hyphens(name)));
  return found == table.end() ? nullptr : &*found;
}

Error unknown_property(const nacre_type& type, const std::vector<nacre_prop>& table, const std::string& name) {
  if (table.empty()) return fail("'{}' has no property '{}': it has none.", type.name, name);
  std::vector<std::string> names;
  std::string listed;
  for (const nacre_prop& property : table) {
    names.emplace_back(property.name);
    listed += (listed.empty() ? "" : ", ") + names.back();
  }
  return fail("'{}' has no property '{}'; it has: {}.{}", type.name, name, listed,
              did_you_mean(with_hyphens(name), names));
}

Error bad_value(const nacre_type& type, const nacre_prop& property, const std::string& text) {
  std::string suggestion;
  if (property.type == NACRE_PROP_ENUM) {
    std::vector<std::string> values;
    for (const char* const* value = property.values; value && *value; ++value) values.emplace_back(*value);
    suggestion = did_you_mean(text, values);
  }
  return fail("property '{}' of '{}' cannot be {}; allowed: {}.{}", property.name, type.name,
              property.flags & NACRE_PROP_SECRET ? "what was given" : "'" + text + "'", allowed_values(property),
              suggestion);
}

}  // namespace

std::vector<nacre_prop> properties_of(const nacre_type& type) {
  std::vector<nacre_prop> table(type.props ? type.n_props : 0);
  const char* at = reinterpret_cast<const char*>(type.props);
  for (nacre_prop& property : table) {
    std::memcpy(&property, at, std::min<size_t>(type.prop_size, sizeof property));
    at += type.prop_size;
  }
  std::erase_if(table, [](const nacre_prop& property) { return !property.name; });
  return table;
}

bool is_back_end(const nacre_prop& property) {
  return property.type == NACRE_PROP_NODE && property.node_kind && std::string_view(property.node_kind) != "iothread";
}

Result<PropertyValues> PropertyValues::parse(const nacre_type& type, const Given& given, bool vacant) {
  const std::vector<nacre_prop> table = properties_of(type);
  std::vector<const std::string*> texts(table.size());
  for (const auto& [name, text] : given) {
    const nacre_prop* property = find_property(table, name);
    if (!property) return unknown_property(type, table, name);
    const std::string*& slot = texts[static_cast<size_t>(property - table.data())];
    if (slot) {
      if (property->flags & NACRE_PROP_SECRET)
        return fail("property '{}' of '{}' is given twice.", property->name, type.name);
      return fail("property '{}' of '{}' is given twice: '{}' and '{}'.", property->name, type.name, *slot, text);
    }
    slot = &text;
    if (property->flags & NACRE_PROP_DEPRECATED)
      log::warn("plugin", "property '{}' of '{}' is deprecated{}.", property->name, type.name,
                property->replacement ? fmt::format("; use '{}'", property->replacement) : "");
  }
  PropertyValues values;
  for (size_t i = 0; i < table.size(); ++i) {
    const nacre_prop& property = table[i];
    if (property.flags & NACRE_MUST_UNDERSTAND)
      return fail("property '{}' of '{}' has flags that this VMM does not know; use a newer Nacre.", property.name,
                  type.name);
    if (!texts[i] && !property.default_text) {
      if (property.flags & NACRE_PROP_REQUIRED && !(vacant && is_back_end(property)))
        return fail("'{}' needs property '{}' ({}): add {}=...", type.name, property.name, allowed_values(property),
                    property.name);
      continue;
    }
    const std::string text = texts[i] ? *texts[i] : property.default_text;
    Result<std::optional<Parsed>> parsed = parse_value(property, text);
    if (!parsed) return fail("property '{}' of '{}': {}", property.name, type.name, parsed.error().message);
    if (!*parsed) {
      Error wrong = bad_value(type, property, text);
      if (!texts[i]) wrong.message += " It is the default; this is a defect of the plugin.";
      return wrong;
    }
    values.values_.push_back({property.name, property.type, is_back_end(property) ? property.node_kind : nullptr,
                              std::move((*parsed)->text), (*parsed)->number});
  }
  return values;
}

Result<std::string> PropertyValues::check(const nacre_type& type, const std::string& name, const std::string& text) {
  const std::vector<nacre_prop> table = properties_of(type);
  const nacre_prop* property = find_property(table, name);
  if (!property) return unknown_property(type, table, name);
  Result<std::optional<Parsed>> parsed = parse_value(*property, text);
  if (!parsed) return fail("property '{}' of '{}': {}", property->name, type.name, parsed.error().message);
  if (!*parsed) return bad_value(type, *property, text);
  return std::string(property->name);
}

void PropertyValues::add_default(Given& given, const std::string& name, const std::string& text) {
  auto same = [&](auto& one) { return with_hyphens(one.first) == with_hyphens(name); };
  if (std::none_of(given.begin(), given.end(), same)) given.emplace_back(name, text);
}

std::vector<std::pair<std::string, std::string*>> PropertyValues::descriptors(const nacre_type& type, Given& given) {
  const std::vector<nacre_prop> table = properties_of(type);
  std::vector<std::pair<std::string, std::string*>> found;
  for (auto& [name, text] : given)
    if (const nacre_prop* property = find_property(table, name); property && property->type == NACRE_PROP_FD)
      found.emplace_back(property->name, &text);
  return found;
}

const PropertyValues::Value* PropertyValues::find(std::string_view name) const {
  auto found = std::find_if(values_.begin(), values_.end(), [&](const Value& value) { return value.name == name; });
  return found == values_.end() ? nullptr : &*found;
}

nacre_status PropertyValues::get_bool(std::string_view name, bool& value) const {
  const Value* found = find(name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type != NACRE_PROP_BOOL) return NACRE_INVALID;
  value = found->number != 0;
  return NACRE_OK;
}

nacre_status PropertyValues::get_u64(std::string_view name, uint64_t& value) const {
  const Value* found = find(name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type != NACRE_PROP_U64 && found->type != NACRE_PROP_SIZE && found->type != NACRE_PROP_PCI_ADDR &&
      found->type != NACRE_PROP_FD)
    return NACRE_INVALID;
  value = found->number;
  return NACRE_OK;
}

nacre_status PropertyValues::get_string(std::string_view name, const char*& value) const {
  const Value* found = find(name);
  if (!found) return NACRE_NOT_FOUND;
  if (found->type == NACRE_PROP_BOOL || found->type == NACRE_PROP_U64 || found->type == NACRE_PROP_SIZE ||
      found->type == NACRE_PROP_FD)
    return NACRE_INVALID;
  value = found->text.c_str();
  return NACRE_OK;
}

const char* PropertyValues::text(std::string_view name) const {
  const Value* found = find(name);
  return found ? found->text.c_str() : nullptr;
}

PropertyValues::BackEnd PropertyValues::back_end() const {
  auto found = std::find_if(values_.begin(), values_.end(), [](const Value& value) { return value.back_end; });
  return found == values_.end() ? BackEnd() : BackEnd{found->back_end, found->text.c_str()};
}

PropertyValues::Given PropertyValues::without_back_end() const {
  Given given;
  for (const Value& value : values_)
    if (!value.back_end && value.type != NACRE_PROP_FD) given.emplace_back(value.name, value.text);
  return given;
}

}  // namespace nacre
