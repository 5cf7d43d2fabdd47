#include "core/cli/plugin_command.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <vector>

#include "core/base/suggest.hpp"
#include "core/cli/plugin_options.hpp"

namespace nacre::cli {
namespace {

using Words = std::span<const char* const>;

std::string usage() {
  return "Usage: nacre plugin VERB [ARGUMENT]...\n\n"
         "  list [DIR]...               every plugin file in these directories, or in the default one, and its state\n"
         "  inspect FILE                what a plugin says about itself; nothing of it is run\n"
         "  doctor FILE                 would it load, why not, and what helps\n"
         "  new ID --kind KIND [--output DIR]\n"
         "                              a new project, for a plugin with an id like org.example.my-device\n"
         "  help                        this\n\n"
         "KIND: " +
         project_kinds() +
         ".\n"
         "The exit status of inspect and doctor is 0 for a plugin that loads, else 1.\n";
}

int refuse(const std::string& sentence) {
  std::fprintf(stderr, "nacre: plugin: %s\n", sentence.c_str());
  return 1;
}

int list(Words words) {
  PluginChoice choice;
  for (const char* word : words) choice.directories.push_back({word, false});
  Result<std::unique_ptr<Registry>> registry = open_registry(choice);
  if (!registry) return refuse(registry.error().message);
  std::fputs((*registry)->plugin_list().c_str(), stdout);
  return 0;
}

int one_file(const char* verb, Words words, int (*act)(const std::string&)) {
  if (words.size() != 1) return refuse(fmt::format("'{}' takes one file: write 'nacre plugin {} FILE'.", verb, verb));
  return act(words[0]);
}

int inspect(Words words) {
  return one_file("inspect", words, inspect_plugin);
}

int doctor(Words words) {
  return one_file("doctor", words, examine_plugin);
}

int create(Words words) {
  ProjectRequest request;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      if (!request.id.empty())
        return refuse(fmt::format("'new' takes one id, and both '{}' and '{}' are given.", request.id, word));
      request.id = word;
      continue;
    }
    const std::string_view option = word.substr(word.starts_with("--") ? 2 : 1);
    const size_t equals = option.find('=');
    const std::string name(option.substr(0, equals));
    std::string* value = name == "kind" ? &request.kind : name == "output" ? &request.directory : nullptr;
    if (!value) {
      static const std::array<std::string, 2> kNames = {"kind", "output"};
      return refuse(fmt::format("'new' has no option '{}'.{}", word, did_you_mean(name, kNames)));
    }
    if (equals != std::string_view::npos)
      *value = option.substr(equals + 1);
    else if (++i < words.size())
      *value = words[i];
    if (value->empty()) return refuse(fmt::format("'--{}' needs a value.", name));
  }
  Result<std::string> text = write_project(request);
  if (!text) return refuse(text.error().message);
  std::fputs(text->c_str(), stdout);
  return 0;
}

int help(Words) {
  std::fputs(usage().c_str(), stdout);
  return 0;
}

struct Verb {
  const char* name;
  int (*run)(Words);
};
constexpr Verb kVerbs[] = {{"list", list}, {"inspect", inspect}, {"doctor", doctor}, {"new", create}, {"help", help}};

}  // namespace

int plugin_command(Words words) {
  const auto asks_for_help = [](std::string_view word) { return word == "-h" || word == "-help" || word == "--help"; };
  if (std::any_of(words.begin(), words.end(), asks_for_help)) return help({});
  if (words.empty()) return refuse("which of list, inspect, doctor and new? 'nacre plugin help' explains them.");
  std::vector<std::string> names;
  for (const Verb& verb : kVerbs) {
    if (std::string_view(words[0]) == verb.name) return verb.run(words.subspan(1));
    names.emplace_back(verb.name);
  }
  return refuse(fmt::format("there is no '{}'. 'nacre plugin help' lists what there is.{}", words[0],
                            did_you_mean(words[0], names)));
}

}  // namespace nacre::cli
