// What holds for whatever the management side answers.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "tests/fuzz/input.hpp"

namespace nacre::fuzz {

// Calls each(answer) for every line; a line that is no JSON object breaks a rule, and so does an error that is no
// sentence.
template <typename Each>
void for_each_answer(const std::string& output, Each each) {
  namespace json = boost::json;
  json::parse_options options;
  options.max_depth = 80;
  for (size_t at = 0; at < output.size();) {
    const size_t end = output.find("\r\n", at);
    require(end != std::string::npos, "every answer ends its line");
    boost::system::error_code error;
    const json::value answer = json::parse(std::string_view(output).substr(at, end - at), error, {}, options);
    require(!error && answer.is_object(), "every answer is a JSON object", output.substr(at, end - at));
    const json::object& object = answer.get_object();
    if (const json::value* failure = object.if_contains("error"))
      require_sentence(std::string(failure->at("desc").as_string()));
    each(object);
    at = end + 2;
  }
}

}  // namespace nacre::fuzz
