// What a command is: one declaration says all, and validation, `query-commands` and the schema come from it.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"

namespace nacre::qmp {

enum class Type { String, Int, Number, Bool, Object, Array, Any };

struct Argument {
  std::string_view name;
  Type type = Type::String;
  bool required = true;
  std::string_view help;
  std::span<const std::string_view> values = {};  // a string that must be one of these
  std::span<const Argument> members = {};         // of an object; none: any
};

// What a handler may use beside its arguments.
class Context {
 public:
  virtual ~Context() = default;
  // The last descriptor that came with the request, or -1; the handler takes it over.
  virtual int take_fd() = 0;
};

// Called on the main thread with arguments that fit the declaration.
using Handler = std::function<Result<boost::json::value>(const boost::json::object& arguments, Context& context)>;

struct Command {
  std::string_view name;
  std::string_view help;
  std::string_view returns;  // the type of the answer, in a word or two
  std::span<const Argument> arguments;
  Handler handler;
  bool takes_more = false;  // arguments that are not declared go to the handler as they are
  // Where requests of another sort have other arguments: these, and more.
  struct Sort {
    bool (*is)(const boost::json::object& arguments) = nullptr;
    std::span<const Argument> arguments = {};
  } other = {};
  bool makes = false;  // something that stays: refused while the host has no memory
};

struct Event {
  std::string_view name;
  std::string_view help;
  std::span<const Argument> data;
};

// Checks the arguments of a request. Fails with one sentence that names the command and the argument.
Status check_arguments(const Command& command, const boost::json::object& arguments);

// "a string", "an integer", ...
std::string_view in_words(Type type);

}  // namespace nacre::qmp
