// Questions to the program.
#include <nacre/abi/entry.h>

#include <algorithm>

#include "core/cli/option_table.hpp"
#include "core/cli/parse_testing.hpp"

namespace nacre::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

HelpRequest asked(const std::string& line) {
  Result<Options> options = parse_line(line);
  EXPECT_TRUE(options && options->help) << line << (options ? "" : options.error().message);
  return options && options->help ? *options->help : HelpRequest();
}

TEST(Help, OverviewNamesEveryOption) {
  for (const char* line : {"-h", "-help", "--help", "-smp 2 -h -nonsense"})
    EXPECT_EQ(asked(line).text, usage()) << line;
  for (const Option& option : option_table()) {
    if (option.section == Section::Later) continue;
    EXPECT_THAT(usage(), HasSubstr(fmt::format("-{}", option.name)));
  }
  for (const std::string& line : split_words(usage(), '\n')) EXPECT_LE(line.size(), 120u) << line;
}

TEST(Help, Version) {
  EXPECT_EQ(asked("-V").text, version());
  EXPECT_THAT(asked("-version").text, StartsWith("nacre 0."));
}

TEST(Help, OfEveryOptionNamesEveryKey) {
  for (const Option& option : option_table()) {
    const std::string text = asked(fmt::format("-{} help", option.name)).text;
    EXPECT_THAT(text, StartsWith(fmt::format("-{}", option.name)));
    for (const Key& key : option.grammar.keys) {
      if (key.type == ValueType::Later) continue;
      EXPECT_THAT(text, HasSubstr(std::string(key.help))) << option.name;
    }
    for (const std::string& line : split_words(text, '\n')) EXPECT_LE(line.size(), 120u) << line;
  }
}

// StratoVirt's answer, which libvirt looks through, must be a part of ours.
TEST(Help, ForPrograms) {
  const boost::json::array list = describe_options();
  const boost::json::object* drive = nullptr;
  for (const boost::json::value& one : list) {
    const Option* option = find_option(one.at("option").as_string());
    ASSERT_TRUE(option);
    EXPECT_NE(option->section, Section::Later) << option->name;
    EXPECT_EQ(one.as_object().size(), 2u);
    if (option->name == "drive") drive = &one.as_object();
  }
  ASSERT_TRUE(drive);
  std::vector<std::string> strings;
  for (const boost::json::value& parameter : drive->at("parameters").as_array()) {
    EXPECT_EQ(parameter.as_object().size(), 3u);
    EXPECT_TRUE(parameter.at("help").is_string());
    if (parameter.at("type") == "string") strings.emplace_back(parameter.at("name").as_string());
  }
  EXPECT_THAT(strings, ::testing::IsSupersetOf({"discard", "detect-zeroes", "file", "id"}));
}

TEST(Help, FromPlugins) {
  EXPECT_EQ(asked("-machine help").kind, HelpRequest::Kind::Types);
  EXPECT_EQ(asked("-machine help").of, NACRE_KIND_MACHINE);
  EXPECT_EQ(asked("-device help").of, NACRE_KIND_DEVICE);
  EXPECT_EQ(asked("-plugin-list").kind, HelpRequest::Kind::Plugins);
  HelpRequest device = asked("-device virtio-blk-device,help");
  EXPECT_EQ(device.kind, HelpRequest::Kind::OneType);
  EXPECT_EQ(device.name, "virtio-blk-device");
  HelpRequest machine = asked("-machine type=microvm,help");
  EXPECT_EQ(machine.kind, HelpRequest::Kind::OneType);
  EXPECT_EQ(machine.name, "microvm");
  EXPECT_EQ(asked("-drive id=x,help").kind, HelpRequest::Kind::Text);
  EXPECT_EQ(asked("-drive driver=file,help").kind, HelpRequest::Kind::Text);
  EXPECT_EQ(asked("-netdev tap,help").kind, HelpRequest::Kind::Text);
  EXPECT_EQ(asked("-drive help").of, NACRE_KIND_BLOCK);
  EXPECT_EQ(asked("-netdev help").of, NACRE_KIND_NET);
  EXPECT_EQ(asked("-chardev help").of, NACRE_KIND_CHARDEV);
  HelpRequest disk = asked("-drive id=x,driver=ram-disk,help");
  EXPECT_EQ(disk.kind, HelpRequest::Kind::OneType);
  EXPECT_EQ(disk.of, NACRE_KIND_BLOCK);
  EXPECT_EQ(disk.name, "ram-disk");
  EXPECT_EQ(asked("-chardev echo,help").name, "echo");
  // The directories are wanted wherever they are on the line.
  Result<Options> options = parse_line("-plugin-dir /a -device help -plugin-dir /b");
  ASSERT_TRUE(options);
  EXPECT_THAT(options->plugin.directories, SizeIs(2));
}

TEST(Table, HasNoNameTwiceAndNoLooseEnds) {
  std::vector<std::string> names;
  for (const Option& option : option_table()) {
    names.emplace_back(option.name);
    for (const std::string& alias : split_words(option.aliases)) names.push_back(alias);
    EXPECT_FALSE(option.help.empty()) << option.name;
    if (option.takes == Takes::Value && option.section != Section::Later) {
      EXPECT_FALSE(option.syntax.empty()) << option.name;
      EXPECT_TRUE(option.apply) << option.name;
    }
    for (const Key& key : option.grammar.keys)
      EXPECT_EQ(key.type == ValueType::Choice, !key.values.empty()) << key.name;
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  EXPECT_LT(option_table().size(), 128u);
}

}  // namespace
}  // namespace nacre::cli
