#include "qmp/event_text.hpp"

#include <ctime>

namespace nacre::qmp {
namespace json = boost::json;

std::string event_text(std::string_view name, const json::object& data) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return json::serialize(
      json::object{{"event", name},
                   {"data", data},
                   {"timestamp", json::object{{"seconds", now.tv_sec}, {"microseconds", now.tv_nsec / 1000}}}});
}

}  // namespace nacre::qmp
