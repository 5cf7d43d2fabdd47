// The command line, a word on each line of the input; what it accepts is written as a configuration and read again.
#include <vector>

#include "core/cli/config_file.hpp"
#include "core/cli/options.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace nacre;
using namespace nacre::cli;
using fuzz::require;

Result<Options> parse_words(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  return parse(pointers);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::string> words(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '\n') {
      words.emplace_back();
    } else if (data[i] != 0) {
      words.back() += static_cast<char>(data[i]);
    }
  }
  if (words.back().empty()) words.pop_back();
  // The files that words may name are none of this target's.
  for (const std::string& word : words)
    if (word.find("config") != std::string::npos) return 0;

  const Result<Options> options = parse_words(words);
  if (!options) {
    fuzz::require_sentence(options.error().message);
    return 0;
  }
  if (options->help) return 0;
  words.emplace_back("-dump-config");
  const Result<Options> dumped = parse_words(words);
  require(dumped && dumped->help, "what is accepted can be dumped", dumped ? "" : dumped.error().message);
  const std::string& text = dumped->help->text;
  const Result<std::vector<ConfigItem>> items = parse_config(text, "dump");
  require(bool(items), "a dump can be read", (items ? "" : items.error().message) + "\n" + text);
  require(dump_config(*items) == text, "a dump says the same when it is read", text);
  return 0;
}
