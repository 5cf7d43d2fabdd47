#include "core/plugin/properties.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace nacre {
namespace {

using testing::HasSubstr;
using Given = PropertyValues::Given;

constexpr const char* kCaches[] = {"none", "writeback", nullptr};
constexpr nacre_prop kTable[] = {
    {.type = NACRE_PROP_NODE, .flags = NACRE_PROP_REQUIRED, .name = "drive", .help = "the disk", .node_kind = "block"},
    {.type = NACRE_PROP_BOOL, .name = "read-only", .default_text = "off"},
    {.type = NACRE_PROP_U64, .name = "num-queues", .default_text = "1", .min = 1, .max = 16},
    {.type = NACRE_PROP_U64, .flags = NACRE_PROP_POWER_OF_TWO, .name = "queue-size", .min = 2, .max = 1024},
    {.type = NACRE_PROP_SIZE, .name = "limit", .max = 1ull << 40},
    {.type = NACRE_PROP_STRING, .name = "serial", .max = 20, .pattern = "[A-Z0-9]*"},
    {.type = NACRE_PROP_ENUM, .name = "cache", .values = kCaches},
    {.type = NACRE_PROP_MAC, .name = "mac"},
    {.type = NACRE_PROP_PCI_ADDR, .name = "addr"},
    {.type = NACRE_PROP_STRING, .flags = NACRE_PROP_SECRET, .name = "key", .max = 4},
    {.type = NACRE_PROP_FD, .name = "fd"},
    {.type = NACRE_PROP_BOOL, .flags = NACRE_PROP_DEPRECATED, .name = "old", .replacement = "read-only"},
};

nacre_type type() {
  nacre_type made{};
  made.size = sizeof made;
  made.kind = NACRE_KIND_DEVICE;
  made.name = "test-disk";
  made.bus = "virtio";
  made.help = "a disk";
  made.props = kTable;
  made.prop_size = sizeof(nacre_prop);
  made.n_props = std::size(kTable);
  return made;
}

PropertyValues parse(Given given) {
  given.insert(given.begin(), {"drive", "d"});
  Result<PropertyValues> values = PropertyValues::parse(type(), given);
  EXPECT_TRUE(values) << values.error().message;
  return values ? std::move(*values) : PropertyValues();
}

std::string failure(Given given, bool drive = true) {
  if (drive) given.insert(given.begin(), {"drive", "d"});
  Result<PropertyValues> values = PropertyValues::parse(type(), given);
  return values ? "(accepted)" : values.error().message;
}

uint64_t number(const char* name, const char* text) {
  uint64_t value = ~0ull;
  EXPECT_EQ(parse({{name, text}}).get_u64(name, value), NACRE_OK);
  return value;
}

TEST(Properties, ADescriptorMustBeOpen) {
  int pair[2];
  ASSERT_EQ(::pipe(pair), 0);
  EXPECT_EQ(number("fd", std::to_string(pair[1]).c_str()), static_cast<uint64_t>(pair[1]));
  // Programs that are started later do not get it.
  EXPECT_EQ(::fcntl(pair[1], F_GETFD), FD_CLOEXEC);
  ::close(pair[0]);
  ::close(pair[1]);
  for (const std::string& text : {std::to_string(pair[1]), std::string("1"), std::string("-1"), std::string("tap"),
                                  std::string("4294967295"), std::string("99999999999999999999")})
    EXPECT_THAT(failure({{"fd", text}}), HasSubstr("the number of an open descriptor")) << text;
}

TEST(Properties, EveryWayToSayYesAndNo) {
  for (const char* yes : {"on", "true", "yes", "1"}) {
    bool value = false;
    EXPECT_EQ(parse({{"read-only", yes}}).get_bool("read-only", value), NACRE_OK);
    EXPECT_TRUE(value);
  }
  for (const char* no : {"off", "false", "no", "0"}) {
    bool value = true;
    EXPECT_EQ(parse({{"read_only", no}}).get_bool("read-only", value), NACRE_OK);
    EXPECT_FALSE(value);
  }
  EXPECT_EQ(failure({{"read-only", "maybe"}}),
            "property 'read-only' of 'test-disk' cannot be 'maybe'; allowed: on or off.");
}

TEST(Properties, DefaultsOfTheUsersOwn) {
  EXPECT_EQ(*PropertyValues::check(type(), "read_only", "1"), "read-only");
  EXPECT_THAT(PropertyValues::check(type(), "raed-only", "1").error().message, HasSubstr("read-only"));
  EXPECT_THAT(PropertyValues::check(type(), "num-queues", "17").error().message, HasSubstr("1 to 16"));
  PropertyValues::Given given = {{"read_only", "off"}};
  PropertyValues::add_default(given, "read-only", "on");
  PropertyValues::add_default(given, "num-queues", "2");
  EXPECT_THAT(given, ::testing::ElementsAre(::testing::Pair("read_only", "off"), ::testing::Pair("num-queues", "2")));
}

TEST(Properties, Numbers) {
  EXPECT_EQ(number("num-queues", "0x10"), 16u);
  EXPECT_EQ(number("queue-size", "256"), 256u);
  EXPECT_EQ(number("limit", "4K"), 4096u);
  EXPECT_EQ(number("limit", "1g"), 1u << 30);
  EXPECT_EQ(number("limit", "512B"), 512u);
  EXPECT_EQ(number("limit", "0x1000"), 4096u);
  EXPECT_EQ(number("addr", "0x1e.3"), 0x1eu << 3 | 3);
  EXPECT_EQ(number("addr", "2"), 16u);
  for (const char* bad : {"0", "17", "-1", "1 ", "", "one", "99999999999999999999"})
    EXPECT_EQ(failure({{"num-queues", bad}}),
              "property 'num-queues' of 'test-disk' cannot be '" + std::string(bad) + "'; allowed: a number, 1 to 16.");
  EXPECT_THAT(failure({{"queue-size", "3"}}), HasSubstr("a number, 2 to 1024, a power of two"));
  for (const char* bad : {"K", "20000000000G", "1T", "1.5G"}) EXPECT_NE(failure({{"limit", bad}}), "(accepted)");
  for (const char* bad : {"32", "1.8", "1.", ".1", "x"}) EXPECT_NE(failure({{"addr", bad}}), "(accepted)");
}

TEST(Properties, Texts) {
  EXPECT_STREQ(parse({{"serial", "AB12"}}).text("serial"), "AB12");
  EXPECT_STREQ(parse({{"mac", "52:54:00:12:34:AB"}}).text("mac"), "52:54:00:12:34:ab");
  EXPECT_EQ(failure({{"serial", "lower"}}),
            "property 'serial' of 'test-disk' cannot be 'lower'; allowed: a text of at "
            "most 20 bytes that matches [A-Z0-9]*.");
  EXPECT_NE(failure({{"serial", std::string(21, 'A')}}), "(accepted)");
  EXPECT_EQ(failure({{"cache", "writebakc"}}),
            "property 'cache' of 'test-disk' cannot be 'writebakc'; allowed: none, "
            "writeback. Did you mean 'writeback'?");
  for (const char* bad : {"53:54:00:12:34:56", "52:54:00:12:34", "52-54-00-12-34-56", "0x:54:00:12:34:56", ""})
    EXPECT_NE(failure({{"mac", bad}}), "(accepted)") << bad;
  EXPECT_EQ(failure({{"key", "secret"}}),
            "property 'key' of 'test-disk' cannot be what was given; allowed: a text of at most 4 bytes.");
}

TEST(Properties, UnknownMissingAndTwice) {
  EXPECT_EQ(
      failure({{"seriel", "A"}}),
      "'test-disk' has no property 'seriel'; it has: drive, read-only, num-queues, queue-size, limit, serial, cache, "
      "mac, addr, key, fd, old. Did you mean 'serial'?");
  EXPECT_EQ(failure({}, false), "'test-disk' needs property 'drive' (the id of a drive): add drive=...");
  EXPECT_EQ(failure({{"num-queues", "1"}, {"num_queues", "2"}}),
            "property 'num-queues' of 'test-disk' is given twice: '1' and '2'.");
}

TEST(Properties, DefaultsAndTheUnset) {
  PropertyValues values = parse({});
  uint64_t queues = 0;
  EXPECT_EQ(values.get_u64("num-queues", queues), NACRE_OK);
  EXPECT_EQ(queues, 1u);
  EXPECT_EQ(values.get_u64("limit", queues), NACRE_NOT_FOUND);
  EXPECT_EQ(values.get_u64("no-such", queues), NACRE_NOT_FOUND);
  EXPECT_EQ(values.get_u64("read-only", queues), NACRE_INVALID);
  const char* text = nullptr;
  EXPECT_EQ(values.get_string("drive", text), NACRE_OK);
  EXPECT_STREQ(text, "d");
  EXPECT_EQ(values.text("iothread"), nullptr);
}

TEST(Properties, AnOlderSdksTableHasAShorterStride) {
  struct Old {
    uint32_t type, flags;
    const char* name;
    const char* help;
  };
  static const Old kOld[] = {{NACRE_PROP_BOOL, 0, "a", "x"}, {NACRE_PROP_STRING, 0, "b", "y"}};
  nacre_type old = type();
  old.props = reinterpret_cast<const nacre_prop*>(kOld);
  old.prop_size = sizeof(Old);
  old.n_props = 2;
  Result<PropertyValues> values = PropertyValues::parse(old, {{"b", "text"}, {"a", "on"}});
  ASSERT_TRUE(values) << values.error().message;
  EXPECT_STREQ(values->text("b"), "text");
}

TEST(Properties, HelpSaysItAll) {
  std::string help = describe(type());
  EXPECT_THAT(help, HasSubstr("test-disk: a disk (bus virtio)\n"));
  EXPECT_THAT(help, HasSubstr("  drive=<the id of a drive>  the disk (required)\n"));
  EXPECT_THAT(help, HasSubstr("  num-queues=<a number, 1 to 16> (default: 1)\n"));
  EXPECT_THAT(help, HasSubstr("  old=<on or off> (deprecated: use read-only)\n"));
}

}  // namespace
}  // namespace nacre
