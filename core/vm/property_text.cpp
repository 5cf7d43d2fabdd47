#include "core/vm/property_text.hpp"

namespace nacre {

Devices::Properties split_properties(std::string_view text) {
  Devices::Properties properties;
  while (!text.empty()) {
    size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (item.empty()) continue;
    size_t equals = item.find('=');
    if (equals == std::string_view::npos)
      properties.emplace_back(item, "on");
    else
      properties.emplace_back(item.substr(0, equals), item.substr(equals + 1));
  }
  return properties;
}

}  // namespace nacre
