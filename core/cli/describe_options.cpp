// The command line for programs: the answer of query-command-line-options, from the table.
#include <boost/json.hpp>

#include "core/cli/option_table.hpp"

namespace nacre::cli {
namespace {

namespace json = boost::json;

// In QEMU's words for the types of a parameter, which clients know.
std::string_view type_of(const Key& key) {
  switch (key.type) {
    case ValueType::Bool:
    case ValueType::Flag:
      return "boolean";
    case ValueType::Integer:
      return "number";
    case ValueType::Size:
      return "size";
    default:
      return "string";
  }
}

}  // namespace

json::array describe_options() {
  json::array list;
  for (const Option& option : option_table()) {
    // What is refused is not on offer: clients decide by this answer.
    if (option.section == Section::Later || option.section == Section::Ignored) continue;
    json::array parameters;
    for (const Key& key : option.grammar.keys)
      if (key.type != ValueType::Later)
        parameters.push_back(json::object{{"name", key.name}, {"help", key.help}, {"type", type_of(key)}});
    list.push_back(json::object{{"parameters", std::move(parameters)}, {"option", option.name}});
  }
  return list;
}

}  // namespace nacre::cli
