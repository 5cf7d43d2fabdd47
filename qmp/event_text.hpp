// An event as clients get it.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace nacre::qmp {

// `{"event", "data", "timestamp": {"seconds", "microseconds"}}`, the time being now.
std::string event_text(std::string_view name, const boost::json::object& data);

}  // namespace nacre::qmp
