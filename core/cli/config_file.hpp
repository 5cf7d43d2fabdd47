// The machine as a JSON file: read into the words that the command line would have, and written from them.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.hpp"
#include "core/cli/option_table.hpp"

namespace nacre::cli {

// One option with its value as the command line writes it.
struct ConfigItem {
  const Option* option;
  std::string text;  // empty for an option that takes nothing
};

// Reads the file: StratoVirt's sections ("boot-source", "machine-config", "block", "net", "console", "serial", "vsock",
// "balloon", "rng", "iothread"), and every option of the command line under its own name, its value a string or an
// object of its keys, or an array of those where it can be given several times. Fails with one sentence that begins
// with the path of the key that is wrong.
Result<std::vector<ConfigItem>> read_config(const std::string& path);
// The same from text; `name` is for words about it.
Result<std::vector<ConfigItem>> parse_config(std::string_view text, const std::string& name);

// The path of the first key that stands twice in one object of a JSON text, as "net[1].mac"; "" when none does.
std::string repeated_key(std::string_view text);

// The file that says the same as the items: options under their own names.
std::string dump_config(std::span<const ConfigItem> items);
// The JSON schema (draft 2020-12) of the file, from the tables that read_config() checks by.
std::string config_schema();

// JSON on indented lines, ended.
std::string pretty(const boost::json::value& value);

// A key of a section, and where it goes: "option.key", several with '|' between.
struct ConfigKey {
  std::string_view name;
  std::string_view to;
  enum class As { Same, Not, Bytes, On } as = As::Same;  // what becomes of the value on its way
  bool required = false;
  std::string_view only = {};  // On: the one word that it can be, which stands for "on"
};
struct ConfigSection {
  std::string_view name;
  bool list;  // an array of objects
  std::span<const ConfigKey> keys;
  std::string_view always = {};  // "option TEXT", several with ' | ' between: what each one brings beside its keys
  std::string_view once = {};    // the same for the first one only
  std::string_view option = {};  // an option under whose name objects with the first key are of this section too
};
std::span<const ConfigSection> config_sections();

// An option that a file can give under its own name.
bool can_be_configured(const Option& option);

}  // namespace nacre::cli
