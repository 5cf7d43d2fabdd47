// A plugin's properties in the arguments of a command.
#pragma once

#include <boost/json.hpp>
#include <initializer_list>
#include <string_view>

#include "core/plugin/properties.hpp"

namespace nacre::commands {

// All members but those named, as the command line would write them. Fails for what is no string, number or truth
// value.
Result<PropertyValues::Given> properties_in(std::string_view command, const boost::json::object& arguments,
                                            std::initializer_list<std::string_view> but);

}  // namespace nacre::commands
