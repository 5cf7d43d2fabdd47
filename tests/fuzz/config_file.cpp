// The file of -config, as far as to the machine's options; what it says is dumped and read again.
#include "core/cli/config_file.hpp"

#include "core/cli/options.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nacre;
  using namespace nacre::cli;
  using fuzz::require;

  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)repeated_key(text);
  const Result<std::vector<ConfigItem>> items = parse_config(text, "input");
  if (!items) {
    fuzz::require_sentence(items.error().message);
    return 0;
  }
  const std::string dump = dump_config(*items);
  const Result<std::vector<ConfigItem>> again = parse_config(dump, "dump");
  require(bool(again), "a dump can be read", (again ? "" : again.error().message) + "\n" + dump);
  require(dump_config(*again) == dump, "a dump says the same when it is read", dump);

  static fuzz::MemoryFile file("config");
  file.fill({data, size});
  const char* words[] = {"-config", file.path().c_str()};
  const Result<Options> options = parse(words);
  if (!options) fuzz::require_sentence(options.error().message);
  return 0;
}
