// The one table that declares each option: what it takes, how its value is written, what it does, and its help.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string_view>

#include "core/base/result.hpp"
#include "core/cli/options.hpp"
#include "core/cli/syntax.hpp"

namespace nacre::cli {

// -object memory-backend-*.
struct MemoryObject {
  MemoryPart part;
  bool shares;  // the user has said whether it is shared
};
struct NumaNode {
  uint32_t id = 0;
  std::vector<uint32_t> cpus;  // ascending
  std::string backend;         // id of a MemoryObject
};
struct NumaDistance {
  uint32_t from, to;
  uint8_t value;
};

// The options while words are still being read: names are resolved when all are known, whatever their order.
struct Draft {
  Options options;
  uint64_t max_memory = 0;     // 0: as much as memory
  std::string serial_chardev;  // -serial chardev:ID
  std::vector<MemoryObject> memory_objects;
  std::string memory_backend;  // id of one, of -machine; empty: none is all of the memory
  std::string mem_path;        // empty: none
  bool mem_prealloc = false;
  std::vector<NumaNode> numa_nodes;
  std::vector<NumaDistance> numa_distances;
  std::string machine_accel, accel;  // -machine accel= and -accel, which overrides it; empty: not given
  bool has_mon = false;
  std::string mon_chardev, mon_id;
};

// What was given to one option.
struct Given {
  std::string_view text;  // the value as written
  Scalar value;           // of an option without keys
  Fields fields;          // of an option with keys
};

enum class Takes { Nothing, Value, MaybeValue, Words };

enum class Section { Machine, Boot, Devices, Management, Process, Plugins, Ignored, Later };

struct Option {
  std::string_view name;  // without the dash
  std::string_view aliases = {};
  Section section;
  Takes takes = Takes::Nothing;
  bool repeatable = false;
  std::string_view syntax = {};  // as the overview shows it
  std::string_view help;         // one line
  std::string_view more = {};    // further lines for the option's own help
  Grammar grammar = {};          // of the value; without keys, `value` says what it is
  Key value = {};
  // Puts what was given into the draft; null for options that are accepted and ignored.
  Status (*apply)(Draft& draft, const Given& given) = nullptr;
  // Further lines for its help that are made when asked for.
  std::string (*lists)() = nullptr;
  // NACRE_KIND_* of the types that `-option help`, and `-option NAME,help`, ask the plugins for; 0: they do not.
  uint32_t offers = 0;
};

std::span<const Option> option_table();
// By name or alias, without dashes; '_' is as good as '-'. Null when there is none.
const Option* find_option(std::string_view name);

// What -cpu's help says of processor features.
std::string list_cpu_features();

// The handlers that are more than a line.
Status apply_machine(Draft& draft, const Given& given);
Status apply_cpu(Draft& draft, const Given& given);
Status apply_smp(Draft& draft, const Given& given);
Status apply_memory(Draft& draft, const Given& given);
Status apply_numa(Draft& draft, const Given& given);
Status apply_smbios(Draft& draft, const Given& given);
Status apply_drive(Draft& draft, const Given& given);
Status apply_netdev(Draft& draft, const Given& given);
Status apply_chardev(Draft& draft, const Given& given);
Status apply_serial(Draft& draft, const Given& given);
Status apply_device(Draft& draft, const Given& given);
Status apply_global(Draft& draft, const Given& given);
Status apply_object(Draft& draft, const Given& given);
Status apply_qmp(Draft& draft, const Given& given);
Status apply_api_channel(Draft& draft, const Given& given);
Status apply_mon(Draft& draft, const Given& given);
Status apply_qtest(Draft& draft, const Given& given);
Status apply_mod_test(Draft& draft, const Given& given);
Status apply_landlock(Draft& draft, const Given& given);
Status apply_plugin(Draft& draft, const Given& given);
Status apply_plugin_directory(Draft& draft, const Given& given, bool insecure);

// [in finish()] Makes options.ram and options.numa of what was said about memory.
Status resolve_memory(Draft& draft);
// The memory back end of an -object; its id is known to be free.
Status apply_memory_object(Draft& draft, const Given& given);

// Resolves names, checks the options against each other, and gives them out.
Result<Options> finish(Draft draft);

// The answer of query-command-line-options: [{"parameters": [{"name", "help", "type"}], "option"}], without the
// options that are refused or have no effect.
boost::json::array describe_options();

// The help of one option, whole lines.
std::string help_text(const Option& option);

}  // namespace nacre::cli
