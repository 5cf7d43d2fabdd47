// The texts of -help, -version and '-OPTION help', made from the table.
#include <algorithm>

#include "core/cli/option_table.hpp"
#include "core/kvm/x86_64/cpu_features.hpp"

#ifndef NACRE_VERSION
#error "the build says which version this is"
#endif

namespace nacre::cli {
namespace {

constexpr size_t kColumn = 38;  // where the help of an option begins in the overview

struct Heading {
  Section section;
  std::string_view title;
};
constexpr Heading kHeadings[] = {
    {Section::Machine, "Machine"},       {Section::Boot, "What it boots"}, {Section::Devices, "Devices"},
    {Section::Management, "Management"}, {Section::Plugins, "Plugins"},    {Section::Process, "Process"},
};

// "-S, -freeze, -freeze_cpu".
std::string spellings(const Option& option) {
  std::string names = fmt::format("-{}", option.name);
  for (const std::string& alias : split_words(option.aliases)) names += fmt::format(", -{}", alias);
  return names;
}

std::string head(const Option& option) {
  std::string line = spellings(option);
  if (!option.syntax.empty()) line += fmt::format(" {}", option.syntax);
  return line;
}

// `left` and `right` in two columns; on two lines where left is too long.
void add_row(std::string& text, std::string_view left, std::string_view right, size_t column) {
  if (left.size() + 3 > column) {
    text += fmt::format("  {}\n", left);
    left = {};
  }
  text += fmt::format("  {:<{}}{}\n", left, column - 2, right);
}

std::string key_head(const Grammar& grammar, const Key& key) {
  const std::string value = placeholder(key);
  if (grammar.bare_first && &key == &grammar.keys[0])
    return key.type == ValueType::Choice ? value : fmt::format("[{}=]{}", key.name, value);
  return value.empty() ? std::string(key.name) : fmt::format("{}={}", key.name, value);
}

// The values that a key goes with: "a, b or c", or "memory-backend-*".
std::string kinds_text(std::string_view kinds) {
  const std::vector<std::string> words = split_words(kinds);
  const std::string prefix = words.front().substr(0, words.front().rfind('-') + 1);
  const bool alike = words.size() > 1 && !prefix.empty() &&
                     std::all_of(words.begin(), words.end(), [&](auto& word) { return word.starts_with(prefix); });
  return alike ? prefix + "*" : any_of(words);
}

}  // namespace

std::string list_cpu_features() {
  constexpr size_t kWidth = 110;
  std::string text = "  Features, as Linux and as QEMU write them:";
  size_t column = kWidth;
  for (const std::string& name : kvm::cpu_feature_names()) {
    if (column + name.size() > kWidth) {
      text += "\n   ";
      column = 4;
    }
    text += " " + name;
    column += name.size() + 1;
  }
  return text + "\n";
}

std::string help_text(const Option& option) {
  std::string text = head(option) + "\n";
  if (option.section == Section::Later)
    return text + fmt::format("  Not supported by this version of Nacre: {}.\n", option.help);
  text += fmt::format("  {}\n", option.help);
  size_t widest = 0;
  for (const Key& key : option.grammar.keys) widest = std::max(widest, key_head(option.grammar, key).size());
  if (widest > 0) text += "\n";
  const Key* decides = deciding_key(option.grammar);
  const std::string_view default_kind = decides ? decides->fallback : std::string_view();
  for (const Key& key : option.grammar.keys) {
    if (key.type == ValueType::Later) continue;
    std::string right(key.help);
    if (!key.kinds.empty() && key.kinds != default_kind) right += fmt::format(" (with {})", kinds_text(key.kinds));
    if (!key.fallback.empty()) right += fmt::format(" (default {})", key.fallback);
    if (key.required) right += " (required)";
    add_row(text, key_head(option.grammar, key), right, std::min<size_t>(widest, kColumn) + 5);
  }
  if (!option.more.empty()) text += fmt::format("\n  {}", option.more);
  if (option.lists) text += option.lists();
  if (option.repeatable) text += "\n  Can be given several times.\n";
  return text;
}

std::string usage() {
  std::string text = "Usage: nacre [OPTION [VALUE]]...\n";
  for (const Heading& heading : kHeadings) {
    text += fmt::format("\n{}:\n", heading.title);
    for (const Option& option : option_table())
      if (option.section == heading.section) add_row(text, head(option), option.help, kColumn);
  }
  text += "\nAccepted for libvirt, without effect:\n ";
  for (const Option& option : option_table())
    if (option.section == Section::Ignored) text += fmt::format(" -{}", option.name);
  text +=
      "\n\nMore about one option: '-OPTION help'; about a machine or device: '-machine TYPE,help', "
      "'-device DRIVER,help'.\nPlugins by themselves, and projects for new ones: 'nacre plugin help'.\n";
  return text;
}

std::string version() {
  return "nacre " NACRE_VERSION "\n";
}

}  // namespace nacre::cli
