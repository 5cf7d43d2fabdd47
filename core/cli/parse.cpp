// The walk over the words: which is an option, which is its value.
#include <array>
#include <bitset>

#include "core/base/suggest.hpp"
#include "core/cli/config_file.hpp"
#include "core/cli/inherited.hpp"
#include "core/cli/option_table.hpp"
#include "qmp/text.hpp"

namespace nacre::cli {
namespace {

// A word that begins with a dash is an option, unless it can only be meant as a value: "-" and negative numbers.
bool looks_like_option(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
}

Error unknown_word(std::string_view word) {
  std::vector<std::string> names;
  const size_t dashes = word.starts_with("--") ? 2 : word.starts_with('-') ? 1 : 0;
  const std::string_view name = word.substr(dashes);
  if (const size_t equals = name.find('='); dashes > 0 && equals != std::string_view::npos)
    if (find_option(name.substr(0, equals)))
      return fail(
          "Found argument '{}' which wasn't expected, or isn't valid in the context. Write it as two words: "
          "'-{} {}'.",
          word, name.substr(0, equals), name.substr(equals + 1));
  for (const Option& option : option_table())
    for (const std::string& alias : split_words(fmt::format("{}|{}", option.name, option.aliases)))
      if (alias.size() > 1) names.push_back(fmt::format("-{}", alias));
  return fail(
      "Found argument '{}' which wasn't expected, or isn't valid in the context. Use '-h' or '-help' to get "
      "usage.{}",
      word, did_you_mean(fmt::format("-{}", name), names));
}

// The options are read one after another; `words` shrinks.
class Reader {
 public:
  explicit Reader(std::span<const char* const> words) : words_(words) {}

  Result<Options> read() {
    while (!words_.empty()) {
      Status status = read_option();
      if (!status) return status.error();
      // Help that needs no plugin is given at once, whatever else the line says.
      const auto& help = draft_.options.help;
      if (help && help->kind == HelpRequest::Kind::Text) break;
    }
    Result<Options> options = finish(std::move(draft_));
    if (options && dump_ && !options->help)
      options->help = HelpRequest{HelpRequest::Kind::Text, dump_config(items_), {}};
    return options;
  }

 private:
  std::string_view next() {
    std::string_view word = words_.front() ? words_.front() : "";
    words_ = words_.subspan(1);
    return word;
  }
  bool value_follows() const { return !words_.empty() && words_.front() && !looks_like_option(words_.front()); }

  Status read_option() {
    const std::string_view word = next();
    if (!looks_like_option(word)) return unknown_word(word);
    const Option* option = find_option(word.substr(word.starts_with("--") ? 2 : 1));
    if (!option) return unknown_word(word);

    std::string text;
    bool given = false;
    if (value_follows() && (option->takes != Takes::Nothing || std::string_view(words_.front()) == "help")) {
      given = true;
      text = next();
      while (option->takes == Takes::Words && value_follows()) text.append(" ").append(next());
    }
    if (given && is_help(*option, text)) return Status();
    if (option->takes != Takes::Nothing && option->takes != Takes::MaybeValue && !given)
      return fail("The argument '-{}' requires a value, but none was supplied; write '-{} {}'.", option->name,
                  option->name, option->syntax);
    return act(*option, text, given);
  }

  // Every option of the file, as if it stood here.
  Status take_config(const std::string& path) {
    Result<std::vector<ConfigItem>> items = read_config(path);
    if (!items) return items.error();
    for (const ConfigItem& item : *items)
      if (Status done = act(*item.option, item.text, !item.text.empty()); !done)
        return fail("{}: {}", path, done.error().message);
    return {};
  }

  Status act(const Option& option, std::string_view text, bool given) {
    const size_t index = static_cast<size_t>(&option - option_table().data());
    if (!option.repeatable && seen_[index])
      return fail("The argument '-{}' was provided more than once, but cannot be used multiple times.", option.name);
    seen_[index] = true;
    if (option.section == Section::Later)
      return fail("-{} is not supported by this version of Nacre: {}.", option.name, option.help);
    if (option.name == "help") return ask(HelpRequest::Kind::Text, usage());
    if (option.name == "version") return ask(HelpRequest::Kind::Text, version());
    if (option.name == "plugin-list") return ask(HelpRequest::Kind::Plugins, {});
    if (option.name == "config-schema") return ask(HelpRequest::Kind::Text, config_schema());
    if (option.name == "config") return take_config(std::string(text));
    dump_ |= option.name == "dump-config";
    if (!option.apply) return {};
    find_descriptors(text, draft_.options.descriptors);
    items_.push_back({&option, std::string(text)});
    Given what{.text = text};
    // `-serial chardev:ID` is the one value that is not written as its grammar says.
    const bool reference = option.name == "serial" && text.starts_with("chardev:");
    if (given && !option.grammar.keys.empty() && !reference) {
      Result<Fields> fields = parse_fields(fmt::format("-{}", option.name), text, option.grammar);
      if (!fields) return fields.error();
      what.fields = std::move(*fields);
    } else if (given && option.takes != Takes::Words && !reference) {
      Result<Scalar> value = parse_scalar(fmt::format("-{}", option.name), text, option.value);
      if (!value) return value.error();
      what.value = std::move(*value);
    }
    return option.apply(draft_, what);
  }

  // Takes note when the value of the option is a request for its help.
  bool is_help(const Option& option, std::string_view text) {
    if (text == "help") {
      (void)ask(option.offers ? HelpRequest::Kind::Types : HelpRequest::Kind::Text, help_text(option), {},
                option.offers);
      return true;
    }
    if (option.grammar.keys.empty()) return false;
    const std::vector<std::string> elements = split_words(text, ',');
    bool asked = false;
    for (size_t i = 1; i < elements.size(); ++i) asked |= elements[i] == "help";
    if (!asked) return false;
    const std::string name = decision(option.grammar, elements);
    // What is built in, the table explains.
    if (option.offers && (option.grammar.open || is_foreign(option.grammar, name)))
      (void)ask(HelpRequest::Kind::OneType, {}, name, option.offers);
    else
      (void)ask(HelpRequest::Kind::Text, help_text(option));
    return true;
  }

  Status ask(HelpRequest::Kind kind, std::string text, std::string name = {}, uint32_t of = 0) {
    // The first question is answered, but one that needs no plugin goes before.
    if (!draft_.options.help || kind == HelpRequest::Kind::Text)
      draft_.options.help = HelpRequest{kind, std::move(text), std::move(name), of};
    return {};
  }

  std::span<const char* const> words_;
  Draft draft_;
  std::vector<ConfigItem> items_;  // all that was given, for -dump-config
  bool dump_ = false;
  std::bitset<128> seen_;  // by place in the table
};

}  // namespace

Result<Options> parse(std::span<const char* const> arguments) {
  // Names go into QMP's answers and paths into -dump-config: both are JSON, which is UTF-8 (RFC 8259 §8.1).
  for (const char* word : arguments)
    if (word && !qmp::is_utf8(word))
      return fail(
          "The word '{}' of the command line is not UTF-8 text; write it in UTF-8, and rename a file that has such a "
          "name.",
          qmp::made_utf8(word));
  return Reader(arguments).read();
}

}  // namespace nacre::cli
