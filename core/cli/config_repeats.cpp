// Keys that stand twice in one object, which the parser of the values resolves without a word.
#include <boost/json/basic_parser_impl.hpp>
#include <set>

#include "core/cli/config_file.hpp"

namespace nacre::cli {
namespace {

namespace json = boost::json;
using Code = json::error_code;

// Knows where in the file the parser is, and which keys it has passed there. It stops at the first that comes again.
struct Finder {
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return enter(true); }
  bool on_object_end(std::size_t, Code&) { return leave(); }
  bool on_array_begin(Code&) { return enter(false); }
  bool on_array_end(std::size_t, Code&) { return leave(); }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    begun_ += std::string_view(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code& wrong) {
    begun_ += std::string_view(part);
    Place& place = places_.back();
    place.key = std::exchange(begun_, "");
    if (place.seen.insert(place.key).second) return true;
    found = path();
    wrong = json::error::syntax;  // any will do to stop
    return false;
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return value(); }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return value(); }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return value(); }
  bool on_double(double, json::string_view, Code&) { return value(); }
  bool on_bool(bool, Code&) { return value(); }
  bool on_null(Code&) { return value(); }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }

  std::string found;

 private:
  struct Place {
    bool object;
    std::string key = {};  // the one whose value is being read
    std::set<std::string> seen = {};
    std::size_t index = 0;  // of the array's element
  };

  bool enter(bool object) {
    places_.push_back({object});
    return true;
  }
  bool leave() {
    places_.pop_back();
    return value();
  }
  bool value() {
    if (!places_.empty()) ++places_.back().index;
    return true;
  }
  std::string path() const {
    std::string path;
    for (const Place& place : places_) {
      if (!place.object)
        path += fmt::format("[{}]", place.index);
      else
        path += (path.empty() ? "" : ".") + place.key;
    }
    return path;
  }

  std::vector<Place> places_;
  std::string begun_;  // of a key that comes in parts
};

}  // namespace

std::string repeated_key(std::string_view text) {
  json::basic_parser<Finder> parser{json::parse_options()};
  Code wrong;
  parser.write_some(false, text.data(), text.size(), wrong);
  return parser.handler().found;
}

}  // namespace nacre::cli
