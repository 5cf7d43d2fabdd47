// A property table in words.
#include <cstring>

#include "core/plugin/properties.hpp"

namespace nacre {
namespace {

std::string range(const nacre_prop& property, const char* unit) {
  std::string text;
  if (property.min != 0 && property.max != 0)
    text = fmt::format("{} to {}{}", property.min, property.max, unit);
  else if (property.max != 0)
    text = fmt::format("0 to {}{}", property.max, unit);
  else if (property.min != 0)
    text = fmt::format("{}{} or more", property.min, unit);
  return text;
}

std::string number(const nacre_prop& property, const char* what, const char* unit) {
  std::string text = what;
  if (std::string limits = range(property, unit); !limits.empty()) text += (text.empty() ? "" : ", ") + limits;
  if (property.flags & NACRE_PROP_POWER_OF_TWO) text += ", a power of two";
  return text;
}

// What a user makes such a thing with.
const char* node_name(const char* kind) {
  if (!kind) return "object";
  if (std::strcmp(kind, "block") == 0) return "drive";
  if (std::strcmp(kind, "net") == 0) return "netdev";
  return kind;
}

std::string article(const char* noun) {
  return std::string(std::string("aeiou").find(*noun) == std::string::npos ? "a " : "an ") + noun;
}

}  // namespace

std::string allowed_values(const nacre_prop& property) {
  switch (property.type) {
    case NACRE_PROP_BOOL:
      return "on or off";
    case NACRE_PROP_U64:
      return number(property, "a number", "");
    case NACRE_PROP_SIZE:
      return number(property, "a size in bytes or with K, M or G", " bytes");
    case NACRE_PROP_STRING: {
      std::string text = "a text";
      if (property.max != 0 && property.min != 0)
        text += fmt::format(" of {} to {} bytes", property.min, property.max);
      else if (property.max != 0)
        text += fmt::format(" of at most {} bytes", property.max);
      if (property.pattern) text += fmt::format(" that matches {}", property.pattern);
      return text;
    }
    case NACRE_PROP_ENUM: {
      std::string text;
      for (const char* const* value = property.values; value && *value; ++value)
        text += (text.empty() ? "" : ", ") + std::string(*value);
      return text;
    }
    case NACRE_PROP_NODE:
      return "the id of " + article(node_name(property.node_kind));
    case NACRE_PROP_MAC:
      return "a MAC address of one station, such as 52:54:00:12:34:56";
    case NACRE_PROP_PCI_ADDR:
      return "a PCI slot and function, such as 0x1e.0";
    case NACRE_PROP_FD:
      return "the number of an open descriptor that this program was started with, 3 or more";
    default:
      return "a value of unknown type";
  }
}

std::string describe(const nacre_type& type) {
  std::string text = type.name;
  if (type.help) text += fmt::format(": {}", type.help);
  if (type.bus) text += fmt::format(" (bus {})", type.bus);
  text += "\n";
  for (const nacre_prop& property : properties_of(type)) {
    text += fmt::format("  {}=<{}>", property.name, allowed_values(property));
    if (property.help) text += fmt::format("  {}", property.help);
    if (property.flags & NACRE_PROP_REQUIRED)
      text += " (required)";
    else if (property.default_text)
      text += fmt::format(" (default: {}{})", property.default_text,
                          property.flags & NACRE_PROP_PER_VCPU ? ", on PCI the number of vCPUs" : "");
    if (property.flags & NACRE_PROP_DEPRECATED)
      text += property.replacement ? fmt::format(" (deprecated: use {})", property.replacement) : " (deprecated)";
    text += "\n";
  }
  return text;
}

}  // namespace nacre
